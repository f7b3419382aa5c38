// MBPP (Austin et al. 2021): small Python tasks, described in a sentence and three assertions.

import { z } from 'zod'
import { defineTask } from '../task.js'

const row = z.object({
  task_id: z.int(),
  text: z.string(),
  code: z.string(),
  test_list: z.array(z.string()).min(3),
})
type Row = z.infer<typeof row>

const tests = ({ test_list }: Row) => test_list.slice(0, 3).join('\n')

export const mbpp = defineTask<Row>({
  name: 'mbpp',
  version: 1,
  about: 'small Python tasks of one sentence and three assertions, which are run',
  output: 'generate_code',
  language: 'python',
  stops: ['[DONE]'],
  maxTokens: 256,
  passes: [{ k: 1, metric: 'pass_at_1,none' }],
  files: ['mbpp'],
  hub: { repo: 'google-research-datasets/mbpp', config: 'full', split: 'test' },
  row,
  // The test set by the paper; a file with all 974 has the examples too.
  only: ({ task_id }) => task_id >= 11 && task_id <= 510,
  shots: {
    count: 3,
    rule: 'first',
    files: ['mbpp'],
    split: 'prompt',
    only: ({ task_id }) => task_id >= 2 && task_id <= 4,
  },
  targetDelimiter: '',
  prompt: row =>
    `You are an expert Python programmer, and here is your task: ${row.text} Your code should pass these tests:\n\n${tests(row)}\n[BEGIN]\n`,
  answer: ({ code }) => `${code}\n[DONE]`,
  program: (text, row) => `${text}\n${tests(row)}`,
})
