// BoolQ (Clark et al. 2019): yes or no to a question about a passage.

import { z } from 'zod'
import { defineTask } from '../task.js'

const row = z.union([
  z.object({ passage: z.string(), question: z.string(), answer: z.boolean() }).transform(yesNo),
  z.object({ passage: z.string(), question: z.string(), label: z.int() }).transform(row => row),
])

function yesNo({ passage, question, answer }: { passage: string; question: string; answer: boolean }) {
  return { passage, question, label: answer ? 1 : 0 }
}

const CHOICES = ['no', 'yes']

export const boolq = defineTask<z.infer<typeof row>>({
  name: 'boolq',
  version: 2,
  about: 'yes or no to a question about a passage',
  output: 'multiple_choice',
  metrics: ['acc'],
  files: ['boolq_val'],
  hub: { repo: 'aps/super_glue', config: 'boolq', split: 'validation' },
  row,
  shots: { count: 0, rule: 'random', files: ['boolq_train'], split: 'train', drawsOneMore: true },
  prompt: ({ passage, question }) => `${passage}\nQuestion: ${question}?\nAnswer:`,
  choices: () => CHOICES,
  gold: ({ label }) => label,
  answer: ({ label }) => CHOICES[label],
})
