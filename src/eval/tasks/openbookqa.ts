// OpenBookQA (Mihaylov et al. 2018): elementary science facts, the question's stem continued by an answer.

import { z } from 'zod'
import { defineTask } from '../task.js'
import { keyIndex, labeledChoices } from './rows.js'

const row = z.object({ question_stem: z.string(), choices: labeledChoices, answerKey: z.string() })
type Row = z.infer<typeof row>

const gold = ({ choices, answerKey }: Row) => keyIndex(choices, answerKey.trim())

export const openbookqa = defineTask<Row>({
  name: 'openbookqa',
  version: 1,
  about: 'elementary science facts: the stem of a question continued by its answer',
  output: 'multiple_choice',
  metrics: ['acc', 'acc_norm', 'acc_bytes'],
  files: ['openbookqa_test', 'openbookqa_val'],
  hub: { repo: 'allenai/openbookqa', config: 'main', split: 'test' },
  row,
  shots: { count: 0, rule: 'random', files: ['openbookqa_train'], split: 'train' },
  prompt: ({ question_stem }) => question_stem,
  choices: ({ choices }) => choices.text,
  gold,
  answer: row => row.choices.text[gold(row)],
})
