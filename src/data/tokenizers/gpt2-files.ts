// GPT-2's own two files, encoder.json (token → id) and vocab.bpe (merges), as a tokenizer.json. vocab.json and
// merges.txt are the same files under Hugging Face's older names.

import { byteLevelJson } from './byte-pair.js'
import { invalid } from './checked-json.js'
import { END_OF_TEXT, type Tokenizer } from './tokenizer.js'
import { tokenizerFromJson } from './tokenizer-json.js'

/** encoder: parsed encoder.json; merges: text of vocab.bpe. Throws TokenizerError. */
export function tokenizerFromGpt2(encoder: unknown, merges: string, source: string): Tokenizer {
  if (typeof encoder !== 'object' || encoder === null || Array.isArray(encoder)) {
    throw invalid(source, 'encoder.json is not an object from tokens to ids')
  }
  // tokenizerFromJson checks that the ids are ids.
  const vocab = Object.entries(encoder as Record<string, number>)
  const endOfText = vocab.filter(([token]) => token === END_OF_TEXT)
  const lines = merges.split(/\r?\n/).filter(line => line !== '' && !line.startsWith('#version'))
  return tokenizerFromJson(byteLevelJson(vocab, lines, endOfText, true), source)
}
