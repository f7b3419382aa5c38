// Natural Questions, open (Lee et al. 2019), and TriviaQA (Joshi et al. 2017): facts, answered in a few words.

import { z } from 'zod'
import { exactMatch } from '../answers.js'
import { defineTask } from '../task.js'

const STOPS = ['\n', '.', ',']
/** Only an article with a space after it: the last word of an answer stays. */
const ARTICLES = /\b(?:The |the |An |A |a |an )/g

const question = z.object({ question: z.string(), answer: z.array(z.string()).min(1) })

export const nqOpen = defineTask<z.infer<typeof question>>({
  name: 'nq_open',
  version: 4,
  about: 'facts that people asked a search engine for',
  output: 'generate_until',
  metrics: ['exact_match,remove_whitespace'],
  stops: STOPS,
  maxTokens: 256,
  files: ['nq_open_val'],
  hub: { repo: 'google-research-datasets/nq_open', config: 'nq_open', split: 'validation' },
  row: question,
  shots: { count: 0, rule: 'random', files: ['nq_open_train'], split: 'train', drawsOneMore: true },
  description: 'Answer these questions:\n\n',
  shotDelimiter: '\n',
  prompt: ({ question }) => `Q: ${question}?\nA:`,
  answer: ({ answer }) => answer[0],
  score: (text, { answer }) => [
    exactMatch(text.trim(), answer, { ignore: [ARTICLES], ignoreCase: true, ignorePunctuation: true }),
  ],
})

/** Rows as published; or with the prompt already put together. */
const trivia = z.union([
  z
    .object({ context: z.string(), aliases: z.array(z.string()).min(1) })
    .transform(({ context, aliases }) => ({ prompt: context, aliases })),
  z
    .object({ question: z.string(), answer: z.object({ aliases: z.array(z.string()).min(1) }) })
    .transform(({ question, answer }) => ({
      // Most questions end in a question mark already: the prompt has two, as the harness's.
      prompt: `Question: ${question}?\nAnswer:`,
      aliases: answer.aliases,
    })),
])

export const triviaqa = defineTask<z.infer<typeof trivia>>({
  name: 'triviaqa',
  version: 3,
  about: 'questions of a trivia quiz, without a text to look the answer up',
  output: 'generate_until',
  metrics: ['exact_match,remove_whitespace'],
  stops: STOPS,
  maxTokens: 256,
  files: ['triviaqa_val', 'triviaqa_sm_sub'],
  hub: {
    repo: 'mandarjoshi/trivia_qa',
    config: 'rc.nocontext',
    split: 'validation',
    columns: ['question', 'answer'],
  },
  row: trivia,
  shots: { count: 0, rule: 'random', files: ['triviaqa_train'], split: 'train', drawsOneMore: true },
  prompt: ({ prompt }) => prompt,
  answer: ({ aliases }) => aliases[0],
  score: (text, { aliases }) => [
    exactMatch(text.trim(), aliases, { ignoreCase: true, ignorePunctuation: true }),
  ],
})
