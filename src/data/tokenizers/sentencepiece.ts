// SentencePiece's byte-pair encoding: of all neighbors whose union is a piece, those with the highest score are
// joined first. Kudo & Richardson 2018, arXiv 1808.06226. The vocabularies of Llama 1 and 2, Mistral and llama2.c, as
// GGUF, llama2.c and SentencePiece files hold them.

import { TokenizerError } from '../../errors.js'
import { Heap } from './pair-table.js'
import { longestFirstPattern } from './pipeline/added-tokens.js'
import { requireId, type Tokenizer } from './tokenizer.js'

/** How a piece is used; the numbers are those of SentencePiece and of GGUF's `token_type`. */
export const PieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const
export type PieceType = (typeof PieceType)[keyof typeof PieceType]

export interface Piece {
  /** With U+2581 for a space; `<0x0A>` for the byte 10. */
  readonly text: string
  /** The higher, the sooner its two parts are joined. */
  readonly score: number
  readonly type: PieceType
}

export interface PieceVocabulary {
  /** Where the vocabulary comes from, for people. */
  readonly source: string
  readonly pieces: readonly Piece[]
  /** A space is put before the text, so that its first word is written as any other. */
  readonly spacePrefix: boolean
  readonly startOfText: number | null
  readonly endOfText: number | null
}

const SPACE = '\u2581'
const BYTE_PIECE = /^<0x([0-9A-Fa-f]{2})>$/
const textEncoder = new TextEncoder()

export class SentencePieceBpe implements Tokenizer {
  readonly name: string
  readonly vocabSize: number
  readonly startOfText: number | null
  readonly endOfText: number | null
  readonly vocabulary: PieceVocabulary
  /** Pieces that text can be made of. */
  readonly #ids = new Map<string, number>()
  readonly #byteIds: (number | undefined)[] = Array(256).fill(undefined)
  readonly #unknown: number | undefined
  readonly #special: RegExp | null
  readonly #specialIds: ReadonlyMap<string, number>

  /** Throws TokenizerError TOKENIZER_INVALID for a vocabulary that is not one. */
  constructor(vocabulary: PieceVocabulary) {
    const { pieces, source } = vocabulary
    const invalid = (what: string) => new TokenizerError('TOKENIZER_INVALID', `tokenizer ${source}: ${what}`)
    this.vocabulary = vocabulary
    this.vocabSize = pieces.length
    this.name = `${source} (SentencePiece BPE, ${pieces.length})`
    const special: { id: number; content: string }[] = []
    for (const [id, { text, score, type }] of pieces.entries()) {
      if (Number.isNaN(score)) throw invalid(`the score of piece ${id} is not a number`)
      if (type === PieceType.byte) {
        const byte = BYTE_PIECE.exec(text)
        if (byte === null) throw invalid(`piece ${id} is a byte, but is called ${JSON.stringify(text)}`)
        this.#byteIds[Number.parseInt(byte[1], 16)] ??= id
      } else if (type === PieceType.normal && text !== '') {
        // Of two pieces with one text, the first is used, as in llama.cpp.
        if (!this.#ids.has(text)) this.#ids.set(text, id)
      } else if ((type === PieceType.control || type === PieceType.userDefined) && text !== '') {
        special.push({ id, content: text })
      }
    }
    for (const id of [vocabulary.startOfText, vocabulary.endOfText]) {
      if (id !== null && !(Number.isInteger(id) && id >= 0 && id < pieces.length)) {
        throw invalid(`its special token ${id} is outside the vocabulary of ${pieces.length}`)
      }
    }
    this.startOfText = vocabulary.startOfText
    this.endOfText = vocabulary.endOfText
    const unknown = pieces.findIndex(({ type }) => type === PieceType.unknown)
    this.#unknown = unknown < 0 ? undefined : unknown
    this.#specialIds = new Map(special.map(({ content, id }) => [content, id]))
    this.#special = longestFirstPattern(special.map(({ content }) => content))
  }

  /** Throws TokenizerError CHARACTER_UNKNOWN for a character that has neither a piece nor its bytes. */
  encode(text: string): Int32Array {
    const ids: number[] = []
    let end = 0
    for (const match of this.#special === null ? [] : text.matchAll(this.#special)) {
      this.#encodeSection(text.slice(end, match.index), ids)
      ids.push(this.#specialIds.get(match[0])!)
      end = match.index + match[0].length
    }
    this.#encodeSection(text.slice(end), ids)
    return Int32Array.from(ids)
  }

  /** The space that `encode` puts before the text is taken away again. */
  decode(ids: ArrayLike<number>): string {
    const parts: Uint8Array[] = []
    let isFirst = this.vocabulary.spacePrefix
    for (let i = 0; i < ids.length; i++) {
      const bytes = this.tokenBytes(ids[i])
      const isText = this.vocabulary.pieces[ids[i]].type !== PieceType.control
      parts.push(isFirst && isText && bytes[0] === 0x20 ? bytes.subarray(1) : bytes)
      if (isText) isFirst = false
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts))
  }

  tokenBytes(id: number): Uint8Array {
    requireId(this, id)
    const { text, type } = this.vocabulary.pieces[id]
    if (type === PieceType.byte) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16))
    return textEncoder.encode(type === PieceType.normal ? text.replaceAll(SPACE, ' ') : text)
  }

  /**
   * A BPE with byte fallback. Every way to cut a piece into two pieces is a merge, in the order of the scores: what
   * transformers makes of a SentencePiece model.
   */
  toJSON(): object {
    const { pieces, spacePrefix } = this.vocabulary
    const special = pieces.flatMap(({ text, type }, id) =>
      type === PieceType.normal || type === PieceType.byte || type === PieceType.unused
        ? []
        : [
            {
              id,
              content: text,
              single_word: false,
              lstrip: false,
              rstrip: false,
              normalized: false,
              special: type !== PieceType.userDefined,
            },
          ],
    )
    const prepend = spacePrefix ? [{ type: 'Prepend', prepend: SPACE }] : []
    const strip = spacePrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []
    const start = this.startOfText === null ? undefined : pieces[this.startOfText].text
    return {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: special,
      normalizer: {
        type: 'Sequence',
        normalizers: [...prepend, { type: 'Replace', pattern: { String: ' ' }, content: SPACE }],
      },
      pre_tokenizer: null,
      post_processor: start === undefined ? null : startTemplate(start, this.startOfText!),
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...strip,
        ],
      },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: this.#unknown === undefined ? null : pieces[this.#unknown].text,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: !this.#byteIds.includes(undefined),
        ignore_merges: false,
        vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
        merges: this.#merges(),
      },
    }
  }

  #merges(): string[] {
    const { pieces } = this.vocabulary
    const merges: { merge: string; score: number; left: number; right: number }[] = []
    for (const [text, id] of this.#ids) {
      for (let cut = 1; cut < text.length; cut++) {
        const left = this.#ids.get(text.slice(0, cut))
        const right = this.#ids.get(text.slice(cut))
        if (left === undefined || right === undefined) continue
        merges.push({
          merge: `${text.slice(0, cut)} ${text.slice(cut)}`,
          score: pieces[id].score,
          left,
          right,
        })
      }
    }
    merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right)
    return merges.map(({ merge }) => merge)
  }

  #encodeSection(section: string, out: number[]): void {
    if (section === '') return
    const text = (this.vocabulary.spacePrefix ? SPACE : '') + section.replaceAll(' ', SPACE)
    for (const piece of joined(text, this.#ids, this.vocabulary.pieces)) this.#spell(piece, out)
  }

  /** The id of a piece, or the ids of its bytes, or the unknown token. */
  #spell(piece: string, out: number[]): void {
    const id = this.#ids.get(piece)
    if (id !== undefined) {
      out.push(id)
      return
    }
    const bytes = [...textEncoder.encode(piece)].map(byte => this.#byteIds[byte])
    const missing = bytes.includes(undefined)
    if (!missing) out.push(...(bytes as number[]))
    else if (this.#unknown !== undefined) out.push(this.#unknown)
    else {
      throw new TokenizerError(
        'CHARACTER_UNKNOWN',
        `tokenizer ${this.name}: the character ${JSON.stringify(piece)} is not in its vocabulary`,
      )
    }
  }
}

/** `<s>` before every text: what a tokenizer.json says of it. */
function startTemplate(content: string, id: number): object {
  const start = { SpecialToken: { id: content, type_id: 0 } }
  const text = (sequence: string, type_id: number) => ({ Sequence: { id: sequence, type_id } })
  return {
    type: 'TemplateProcessing',
    single: [start, text('A', 0)],
    pair: [start, text('A', 0), start, text('B', 1)],
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  }
}

/** `text` cut into characters and joined again, the union with the highest score first, the leftmost of equals. */
function joined(text: string, ids: ReadonlyMap<string, number>, pieces: readonly Piece[]): string[] {
  const symbols: (string | null)[] = [...text]
  const next = Int32Array.from(symbols, (_, i) => i + 1)
  const previous = Int32Array.from(symbols, (_, i) => i - 1)
  const end = symbols.length
  const queue = new Heap(isBefore)
  const offer = (left: number, right: number) => {
    if (left < 0 || right >= end) return
    const union = `${symbols[left]}${symbols[right]}`
    const id = ids.get(union)
    if (id !== undefined) queue.push({ score: pieces[id].score, left, right, union })
  }
  for (let i = 0; i + 1 < end; i++) offer(i, i + 1)
  for (let found = queue.pop(); found !== undefined; found = queue.pop()) {
    const { left, right, union } = found
    // One of the two may be part of another union by now.
    if (symbols[left] === null || symbols[right] === null || next[left] !== right) continue
    if (`${symbols[left]}${symbols[right]}` !== union) continue
    symbols[left] = union
    symbols[right] = null
    next[left] = next[right]
    if (next[left] < end) previous[next[left]] = left
    offer(previous[left], left)
    offer(left, next[left])
  }
  return symbols.filter(symbol => symbol !== null)
}

interface Union {
  readonly score: number
  readonly left: number
  readonly right: number
  readonly union: string
}

/** The highest score first, the leftmost of equals. */
function isBefore(a: Union, b: Union): boolean {
  return a.score !== b.score ? a.score > b.score : a.left < b.left
}
