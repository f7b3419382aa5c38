// CommonsenseQA (Talmor et al. 2019): five choices, answered by letter.

import { z } from 'zod'
import { defineTask } from '../task.js'
import { keyIndex, LETTERS, labeledChoices, lettered } from './rows.js'

const row = z.object({ question: z.string(), choices: labeledChoices, answerKey: z.string() })
type Row = z.infer<typeof row>

const gold = ({ choices, answerKey }: Row) => keyIndex(choices, answerKey)

export const commonsenseQa = defineTask<Row>({
  name: 'commonsense_qa',
  version: 1,
  about: 'common sense, five choices answered by letter',
  output: 'multiple_choice',
  metrics: ['acc'],
  files: ['csqa_val', 'commonsense_qa_val'],
  hub: { repo: 'tau/commonsense_qa', config: 'default', split: 'validation' },
  row,
  shots: {
    count: 0,
    rule: 'random',
    files: ['csqa_train', 'commonsense_qa_train'],
    split: 'train',
    drawsOneMore: true,
  },
  prompt: ({ question, choices }) => `Question: ${question.trim()}\n${lettered(choices.text)}Answer:`,
  choices: ({ choices }) => LETTERS.slice(0, choices.text.length),
  gold,
  answer: row => LETTERS[gold(row)],
})
