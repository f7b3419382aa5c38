// PIQA (Bisk et al. 2020): which of two ways reaches a practical goal.

import { z } from 'zod'
import { defineTask } from '../task.js'

const row = z.object({ goal: z.string(), sol1: z.string(), sol2: z.string(), label: z.int() })

export const piqa = defineTask<z.infer<typeof row>>({
  name: 'piqa',
  version: 1,
  about: 'which of two ways reaches a practical goal',
  output: 'multiple_choice',
  metrics: ['acc', 'acc_norm', 'acc_bytes'],
  files: ['piqa_val'],
  hub: { repo: 'baber/piqa', config: 'default', split: 'validation' },
  row,
  shots: { count: 0, rule: 'random', files: ['piqa_train'], split: 'train', drawsOneMore: true },
  prompt: ({ goal }) => `Question: ${goal}\nAnswer:`,
  choices: ({ sol1, sol2 }) => [sol1, sol2],
  gold: ({ label }) => label,
  answer: ({ sol1, sol2, label }) => [sol1, sol2][label],
})
