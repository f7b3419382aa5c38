// LAMBADA (Paperno et al. 2016), OpenAI's version: the last word of a passage.

import { z } from 'zod'
import { defineTask } from '../task.js'

/** Rows as published, cut at the last space; or with the last word apart. */
const row = z.union([
  z
    .object({ context: z.string(), continuation: z.string() })
    .transform(({ context, continuation }) => ({ before: context, word: continuation })),
  z.object({ text: z.string() }).transform(({ text }) => {
    const words = text.split(' ')
    return { before: words.slice(0, -1).join(' '), word: words.at(-1) ?? '' }
  }),
])

export const lambadaOpenai = defineTask<z.infer<typeof row>>({
  name: 'lambada_openai',
  version: 1,
  about: 'the last word of a passage',
  output: 'loglikelihood',
  files: ['lambada_openai_test'],
  hub: { repo: 'EleutherAI/lambada_openai', config: 'default', split: 'test' },
  row,
  shots: { count: 0, rule: 'random' },
  prompt: ({ before }) => before,
  answer: ({ word }) => word,
})
