// What a tokenizer is to the rest of Flicker.

export interface Tokenizer {
  /** For people: `bytes`, `bpe 2048`, `tokenizer.json (BPE, 50257)`. */
  readonly name: string
  /** Number of ids, special tokens included: ids are 0 … vocabSize − 1. */
  readonly vocabSize: number
  /** Id of the token that separates documents, or null when the vocabulary has none. */
  readonly endOfText: number | null
  encode(text: string): Int32Array
  decode(ids: ArrayLike<number>): string
  /** The bytes one token stands for; a multi-byte character may be split over several tokens. */
  tokenBytes(id: number): Uint8Array
  /** The content of a Hugging Face tokenizer.json that gives the same ids. */
  toJSON(): object
}
