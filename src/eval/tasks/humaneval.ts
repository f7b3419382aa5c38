// HumanEval (Chen et al. 2021): the body of a Python function after its signature and description; and its translation to
// JavaScript (HumanEval-X, Zheng et al. 2023), which the harness does not have.

import { z } from 'zod'
import { type CodeTask, defineTask } from '../task.js'

const row = z.object({
  task_id: z.string(),
  prompt: z.string(),
  test: z.string(),
  entry_point: z.string(),
  canonical_solution: z.string().optional(),
})
type Row = z.infer<typeof row>

const python = {
  version: 1,
  about: 'the body of a Python function after its description, run against its tests',
  output: 'generate_code',
  language: 'python',
  stops: ['\nclass', '\ndef', '\n#', '\nif', '\nprint'],
  maxTokens: 1024,
  files: ['humaneval'],
  hub: { repo: 'openai/openai_humaneval', config: 'openai_humaneval', split: 'test' },
  row,
  shots: { count: 0, rule: 'random' },
  prompt: ({ prompt }: Row) => prompt,
  answer: ({ canonical_solution = '' }: Row) => canonical_solution,
  program: (text: string, { prompt, test, entry_point }: Row) =>
    `${prompt}${text}\n${test}\ncheck(${entry_point})`,
} as const satisfies Omit<CodeTask<Row>, 'name' | 'passes'>

export const humaneval = defineTask<Row>({
  ...python,
  name: 'humaneval',
  passes: [{ k: 1, metric: 'pass@1,create_test' }],
})

/**
 * As in lm_eval/tasks/humaneval/humaneval_64.yaml of EleutherAI/lm-evaluation-harness: repeats 64, k 2 to 64, temperature
 * 0.2, top-p 0.95, 1,024 tokens, the stop strings of humaneval.
 */
export const humaneval64 = defineTask<Row>({
  ...python,
  name: 'humaneval_64',
  about: 'the same, 64 programs drawn for each function',
  draws: { count: 64, temperature: 0.2, topP: 0.95 },
  passes: [2, 8, 16, 32, 64].map(k => ({ k, metric: `pass@${k},create_test` })),
})

export const humanevalJs = defineTask<Row>({
  name: 'humaneval_js',
  version: 1,
  about: 'the body of a JavaScript function after its description, run against its tests',
  output: 'generate_code',
  language: 'javascript',
  // MultiPL-E's, and what else begins another statement of the file: functions are constants here.
  stops: ['\nfunction ', '\n/*', '\n//', '\nconsole.log', '\nconst '],
  maxTokens: 1024,
  passes: [{ k: 1, metric: 'pass@1,create_test' }],
  files: ['humaneval_js'],
  row,
  shots: { count: 0, rule: 'random' },
  prompt: ({ prompt }) => prompt,
  answer: ({ canonical_solution = '' }) => canonical_solution,
  program: (text, { prompt, test }) => `${prompt}${text}\n${test}`,
})
