// Fields that rows of several tasks have, in the shapes of the Hugging Face data sets.

import { z } from 'zod'

/** Text and letter of each choice, as ARC, OpenBookQA and CommonsenseQA have them. */
export const labeledChoices = z
  .object({ text: z.array(z.string()), label: z.array(z.string()) })
  .refine(({ text, label }) => text.length === label.length, 'as many texts as labels are needed')

/** A question with its choices already listed, and the index of the right one. */
export const listedChoices = z.object({
  query: z.string(),
  choices: z.array(z.string()),
  gold: z.int(),
})

/** Index of the choice whose letter is the key; −1 where none is, which the runner refuses with file and line. */
export function keyIndex(choices: z.infer<typeof labeledChoices>, key: string): number {
  return choices.label.indexOf(key)
}

export const LETTERS = ['A', 'B', 'C', 'D', 'E'] as const

/** `A. first⏎B. second`, one line for each choice. */
export function lettered(choices: readonly string[]): string {
  return choices.map((choice, i) => `${LETTERS[i]}. ${choice}\n`).join('')
}
