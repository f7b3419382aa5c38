// GSM8K (Cobbe et al. 2021): word problems of grade school; the answer is the number that the text ends with.

import { z } from 'zod'
import { exactMatch } from '../answers.js'
import { defineTask } from '../task.js'

const row = z.object({ question: z.string(), answer: z.string() })

const STRICT = /#### (-?[0-9.,]+)/
const NUMBERS = /-?[$0-9.,]{2,}|-?[0-9]+/g
/** Stands for a text without an answer: it equals none. */
const INVALID = '[invalid]'
const RULES = { ignore: [/,/g, /\$/g, /[\s\S]*#### /g, /\.$/g], ignoreCase: true }

export const gsm8k = defineTask<z.infer<typeof row>>({
  name: 'gsm8k',
  version: 3,
  about: 'word problems of grade school, solved in text that ends with #### and the number',
  output: 'generate_until',
  metrics: ['exact_match,strict-match', 'exact_match,flexible-extract'],
  stops: ['Question:', '</s>', '<|im_end|>'],
  maxTokens: 256,
  files: ['gsm8k_test'],
  hub: { repo: 'openai/gsm8k', config: 'main', split: 'test' },
  row,
  shots: { count: 5, rule: 'random', files: ['gsm8k_train'], split: 'train' },
  prompt: ({ question }) => `Question: ${question}\nAnswer:`,
  answer: ({ answer }) => answer,
  score: (text, { answer }) => [
    exactMatch(STRICT.exec(text)?.[1] ?? INVALID, [answer], RULES),
    exactMatch(text.match(NUMBERS)?.at(-1) ?? INVALID, [answer], RULES),
  ],
})
