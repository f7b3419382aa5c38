// The prompt of a study's samples and decoding passes: the recipe's, or the first words of held-out text, and a check
// before training that the model's context leaves room after it.

import type { PreparedData } from '../data/prepare.js'
import { END_OF_TEXT, type Tokenizer } from '../data/tokenizers/tokenizer.js'
import { RecipeError } from '../errors.js'
import type { Recipe } from './recipe.js'

/** Held-out tokens that are searched for a line of prose. */
const SEARCHED_TOKENS = 8192
/** Words of a prompt that is taken from held-out text, and the part of the context that it may fill. */
const WORDS = 3
const MOST_OF_CONTEXT = 1 / 4
/** Speed is measured from the first new token to the last, so there must be two. */
const ROOM = 2

/** Throws RecipeError PROMPT_TOO_LONG, TokenizerError when the tokenizer has no ids for the recipe's prompt. */
export function promptOf({ measure, training }: Recipe, data: PreparedData): string {
  const { tokenizer } = data
  if (measure.prompt === undefined) return heldOutPrompt(data, training.context)
  const tokens = tokenCount(tokenizer, measure.prompt)
  if (training.context - tokens >= ROOM) return measure.prompt
  throw new RecipeError(
    'PROMPT_TOO_LONG',
    `measure.prompt has ${tokens} tokens, and training.context is ${training.context}: ${ROOM} must be left to ` +
      'generate. Shorten the prompt, or train with a longer context',
  )
}

/** The first words of the first line of held-out text that reads like prose. */
function heldOutPrompt({ tokenizer, validation }: PreparedData, context: number): string {
  const lines = tokenizer
    .decode(validation.subarray(0, SEARCHED_TOKENS))
    .replaceAll(END_OF_TEXT, '\n')
    .split('\n')
    .map(line => line.trim())
  const prose = lines.find(line => /^\p{L}+(?:[,;:]?[ ]\p{L}+){5}/u.test(line))
  const words = (prose ?? lines.find(line => line !== '') ?? '').split(/\s+/).slice(0, WORDS)
  const fits = (text: string) => tokenCount(tokenizer, text) <= Math.max(1, context * MOST_OF_CONTEXT)
  while (words.length > 1 && !fits(words.join(' '))) words.pop()
  let prompt = words.join(' ')
  while (prompt.length > 1 && !fits(prompt)) prompt = prompt.slice(0, -1)
  return prompt === '' ? tokenizer.decode(validation.subarray(0, 1)) : prompt
}

function tokenCount(tokenizer: Tokenizer, text: string): number {
  const start = (tokenizer.startOfText ?? null) === null ? 0 : 1
  return start + tokenizer.encode(text).length
}
