// ARC (Clark et al. 2018): school science questions, the easy and the challenge set.

import { z } from 'zod'
import { defineTask } from '../task.js'
import { keyIndex, labeledChoices, listedChoices } from './rows.js'

/** Rows as published; or with the query already put together, without its last line. */
const row = z.union([
  listedChoices.transform(({ query, choices, gold }) => ({ question: query, choices, gold })),
  z
    .object({ question: z.string(), choices: labeledChoices, answerKey: z.string() })
    .transform(({ question, choices, answerKey }) => ({
      question: `Question: ${question}`,
      choices: choices.text,
      gold: keyIndex(choices, answerKey),
    })),
])

function arc(set: 'easy' | 'challenge') {
  return defineTask<z.infer<typeof row>>({
    name: `arc_${set}`,
    version: 1,
    about: `school science questions, the ${set} set`,
    output: 'multiple_choice',
    metrics: ['acc', 'acc_norm', 'acc_bytes'],
    files: [`arc_${set}_test`, `arc_${set}_val`],
    hub: {
      repo: 'allenai/ai2_arc',
      config: set === 'easy' ? 'ARC-Easy' : 'ARC-Challenge',
      split: 'test',
    },
    row,
    shots: { count: 0, rule: 'random', files: [`arc_${set}_train`], split: 'train' },
    prompt: ({ question }) => `${question}\nAnswer:`,
    choices: ({ choices }) => choices,
    gold: ({ gold }) => gold,
    answer: ({ choices, gold }) => choices[gold],
  })
}

export const arcEasy = arc('easy')
export const arcChallenge = arc('challenge')
