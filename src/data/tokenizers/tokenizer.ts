// What a tokenizer is to the rest of Flicker.

import { TokenizerError } from '../../errors.js'

/** Separates documents: a line of its own in a text file, a special token in the vocabularies made here. */
export const END_OF_TEXT = '<|endoftext|>'

export interface Tokenizer {
  /** For people: `bytes`, `bpe 2048`, `tokenizer.json (BPE, 50257)`. */
  readonly name: string
  /** Number of ids, special tokens included: ids are 0 … vocabSize − 1. */
  readonly vocabSize: number
  /** Id of the token that separates documents, or null when the vocabulary has none. */
  readonly endOfText: number | null
  /** Id of the token that every text the model was trained on begins with; absent or null when there is none. */
  readonly startOfText?: number | null
  /** Ids of `text`; where it holds the text of a special token, that token's id, as in Hugging Face's tokenizers. */
  encode(text: string): Int32Array
  decode(ids: ArrayLike<number>): string
  /** The bytes one token stands for; a multi-byte character may be split over several tokens. */
  tokenBytes(id: number): Uint8Array
  /**
   * A function that gives the bytes of one token after another as `decode` writes them together: the first word of a
   * text may lack its space. isWhole: the first token begins a text. Absent where those are `tokenBytes`.
   */
  speller?(isWhole: boolean): (id: number) => Uint8Array
  /** The content of a Hugging Face tokenizer.json that gives the same ids. */
  toJSON(): object
}

/** Throws TokenizerError when `id` is not one of the tokenizer's ids. */
export function requireId(tokenizer: Tokenizer, id: number): void {
  if (Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize) return
  throw new TokenizerError(
    'TOKEN_OUT_OF_VOCABULARY',
    `tokenizer ${tokenizer.name}: token ${id} is outside its vocabulary of ${tokenizer.vocabSize}; ` +
      'were these tokens made with another tokenizer?',
  )
}

/** Throws TokenizerError when the tokenizer can give ids that a model of `modelVocabSize` has no row for. */
export function requireVocabularyFits(tokenizer: Tokenizer, modelVocabSize: number): void {
  if (tokenizer.vocabSize <= modelVocabSize) return
  throw new TokenizerError(
    'VOCABULARY_MISMATCH',
    `tokenizer ${tokenizer.name} has ${tokenizer.vocabSize} tokens, but the model's vocab_size is ${modelVocabSize}; ` +
      'use the tokenizer that the model was trained with',
  )
}
