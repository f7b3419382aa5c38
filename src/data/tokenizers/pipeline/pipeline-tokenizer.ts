// A tokenizer.json of any kind, run step by step as Hugging Face's tokenizers does: added tokens, normalizer,
// pre-tokenizer, model; back through the decoder.

import { TokenizerError } from '../../../errors.js'
import { fromByteLevel } from '../byte-level.js'
import type { CheckedJson } from '../checked-json.js'
import { IdBuffer } from '../id-buffer.js'
import { requireId, type Tokenizer } from '../tokenizer.js'
import { WordCache } from '../word-cache.js'
import { AddedTokenFinder } from './added-tokens.js'
import { type Decoder, makeDecoder } from './decoders.js'
import { makeWordModel } from './models.js'
import { makeNormalizer, movesBeginning, type Normalizer } from './normalizers.js'
import { byteLevelWord, makePreTokenizer, type PreTokenizer, withoutByteLevel } from './pre-tokenizers.js'
import type { WordModel } from './word-model.js'

/** How SentencePiece vocabularies write a space and, with byte fallback, a byte. */
const SENTENCEPIECE_SPACE = '\u2581'
const FALLBACK_BYTE = /^<0x([0-9A-Fa-f]{2})>$/

const LONGEST_CACHED = 128
/** Stands for a part that the vocabulary cannot write. */
const UNKNOWN = -1

export class PipelineTokenizer implements Tokenizer {
  readonly name: string
  readonly vocabSize: number
  readonly startOfText: number | null
  readonly endOfText: number | null
  readonly #checked: CheckedJson
  readonly #normalize: Normalizer
  readonly #preTokenize: PreTokenizer
  /** Whether words have still to be written in the byte-level alphabet. */
  readonly #wordsAreText: boolean
  readonly #model: WordModel
  readonly #decode: Decoder | null
  /** Finds the tokens that are looked for in the text as given, and those looked for in the normalized text. */
  readonly #asGiven: AddedTokenFinder
  readonly #normalized: AddedTokenFinder
  readonly #isByteLevel: boolean
  readonly #prefix: string
  readonly #cache = new WordCache()
  readonly #parts = new WordCache()

  /** Throws TokenizerError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED (names what is not supported). */
  constructor(checked: CheckedJson, source: string) {
    const { json } = checked
    this.#checked = checked
    this.name = checked.name
    this.vocabSize = checked.tokens.length
    this.startOfText = checked.startOfText
    this.endOfText = checked.endOfText
    const normalize = json.normalizer ? makeNormalizer(json.normalizer, source) : (text: string) => text
    this.#normalize = normalize
    const follows = json.normalizer ? movesBeginning(json.normalizer) : false
    const preTokenizer = json.pre_tokenizer ?? { type: 'Sequence', pretokenizers: [] }
    const words = withoutByteLevel(preTokenizer, source, follows)
    this.#wordsAreText = words !== null
    this.#preTokenize = words ?? makePreTokenizer(preTokenizer, source, follows)
    this.#model = makeWordModel(json.model, checked.modelIds, source)
    this.#decode = json.decoder ? makeDecoder(json.decoder, source) : null
    const asGiven = checked.addedTokens.filter(token => !token.normalized)
    const normalized = checked.addedTokens.filter(token => token.normalized)
    this.#asGiven = new AddedTokenFinder(asGiven)
    const contents = normalized.map(({ content }) => normalize(content))
    const twice = contents.findIndex((content, i) => contents.indexOf(content) < i)
    if (twice >= 0) {
      throw new TokenizerError(
        'TOKENIZER_UNSUPPORTED',
        `tokenizer ${source}: added token ${JSON.stringify(normalized[twice].content.slice(0, 200))} is the same as another when normalized`,
      )
    }
    this.#normalized = new AddedTokenFinder(normalized, contents)
    this.#isByteLevel = JSON.stringify(json.decoder ?? null).includes('"ByteLevel"')
    const prefix = json.decoder?.type === 'WordPiece' ? json.decoder.prefix : ''
    this.#prefix = typeof prefix === 'string' ? prefix : ''
  }

  /** Throws TokenizerError for text that the vocabulary cannot write. */
  encode(text: string): Int32Array {
    const ids = new IdBuffer(text.length)
    for (const section of this.#asGiven.split(text)) {
      if ('id' in section) {
        ids.push(section.id)
        continue
      }
      for (const part of this.#normalized.split(this.#normalize(section.text))) {
        if ('id' in part) {
          ids.push(part.id)
          continue
        }
        const isFirst = section.start === 0 && part.start === 0
        for (const word of this.#preTokenize([{ text: part.text, isFirst }])) this.#encodeWord(word.text, ids)
      }
    }
    const unknown = ids.indexOf(UNKNOWN)
    if (unknown >= 0) {
      throw new TokenizerError(
        'CHARACTER_UNKNOWN',
        `tokenizer ${this.name}: part of the text (after ${unknown} tokens) has no token in its vocabulary`,
      )
    }
    return ids.take()
  }

  #encodeWord(word: string, ids: IdBuffer): void {
    if (this.#cache.append(word, ids)) return
    const written = this.#wordsAreText ? byteLevelWord(word) : word
    if (word.length > LONGEST_CACHED) {
      if (this.#model.eachPart === undefined) this.#encodeWith(written, ids)
      else this.#model.eachPart(written, part => this.#encodePart(part, ids))
      return
    }
    const before = ids.length
    this.#encodeWith(written, ids)
    this.#cache.remember(word, ids.from(before))
  }

  /** The same for a part of a long word, which is written as the model has it. */
  #encodePart(part: string, ids: IdBuffer): void {
    if (this.#parts.append(part, ids)) return
    const before = ids.length
    this.#encodeWith(part, ids)
    if (part.length <= LONGEST_CACHED) this.#parts.remember(part, ids.from(before))
  }

  /** By the model alone. */
  #encodeWith(written: string, ids: IdBuffer): void {
    const found: (number | undefined)[] = []
    this.#model.encode(written, found)
    for (const id of found) ids.push(id ?? UNKNOWN)
  }

  decode(ids: ArrayLike<number>): string {
    if (ids.length === 0) return ''
    const tokens: string[] = []
    for (let i = 0; i < ids.length; i++) {
      requireId(this, ids[i])
      const token = this.#checked.tokens[ids[i]]
      if (token !== undefined) tokens.push(token)
    }
    return this.#decode === null ? tokens.join(' ') : this.#decode(tokens).join('')
  }

  tokenBytes(id: number): Uint8Array {
    requireId(this, id)
    const text = this.#checked.tokens[id]
    if (text === undefined) return new Uint8Array(0)
    const plain = new TextEncoder()
    if (this.#checked.added.has(id)) return plain.encode(text)
    if (this.#isByteLevel) return fromByteLevel(text) ?? plain.encode(text)
    const byte = FALLBACK_BYTE.exec(text)
    if (byte !== null && this.#checked.json.model.byte_fallback) {
      return Uint8Array.of(Number.parseInt(byte[1], 16))
    }
    if (this.#prefix !== '' && text.startsWith(this.#prefix))
      return plain.encode(text.slice(this.#prefix.length))
    return plain.encode(text.replaceAll(SENTENCEPIECE_SPACE, ' '))
  }

  toJSON(): object {
    return this.#checked.json
  }
}
