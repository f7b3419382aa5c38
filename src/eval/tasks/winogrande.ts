// WinoGrande (Sakaguchi et al. 2019): to whom does a sentence refer. Each option is put into the blank, and the text after
// the blank is scored: one continuation after two contexts.

import { z } from 'zod'
import { defineTask } from '../task.js'

const row = z
  .object({ sentence: z.string(), option1: z.string(), option2: z.string(), answer: z.string() })
  .refine(({ sentence }) => sentence.includes('_'), {
    path: ['sentence'],
    error: 'a blank, written as _, is needed',
  })
type Row = z.infer<typeof row>

export const winogrande = defineTask<Row>({
  name: 'winogrande',
  version: 1,
  about: 'to which of two names a sentence refers',
  output: 'multiple_choice',
  metrics: ['acc'],
  files: ['winogrande_val'],
  hub: { repo: 'allenai/winogrande', config: 'winogrande_xl', split: 'validation' },
  row,
  shots: {
    count: 0,
    rule: 'random',
    files: ['winogrande_train'],
    split: 'train',
    drawsOneMore: true,
    text: row => `${filled(row)[gold(row)]} ${rest(row)}`,
  },
  prompt: row => filled(row)[gold(row)],
  choices: ({ option1, option2 }) => [option1, option2],
  gold,
  answer: rest,
  partial: row => ({ prompts: filled(row), continuation: rest(row) }),
})

/** The text before the blank with each option. */
function filled({ sentence, option1, option2 }: Row): string[] {
  const before = sentence.slice(0, sentence.indexOf('_'))
  return [before + option1, before + option2]
}

function rest({ sentence }: Row): string {
  return sentence.slice(sentence.indexOf('_') + 1).trim()
}

/** The answer is written as 1 or 2. */
function gold({ answer }: Row): number {
  return Number(answer) - 1
}
