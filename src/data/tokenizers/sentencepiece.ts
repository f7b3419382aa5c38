// SentencePiece's byte-pair encoding: of all neighbors whose union is a piece, those with the highest score are
// joined first. Kudo & Richardson 2018, arXiv 1808.06226. The vocabularies of Llama 1 and 2, Mistral and llama2.c, as
// GGUF, llama2.c and SentencePiece files hold them.

import { TokenizerError } from '../../errors.js'
import { textOfPieces } from './byte-level.js'
import { Heap } from './pair-table.js'
import { type AddedToken, AddedTokenFinder, longestFirstPattern } from './pipeline/added-tokens.js'
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
  /** A space is put before the text, so that its first word has the same tokens as in the middle of a text. */
  readonly spacePrefix: boolean
  /** That space is put behind the text instead: pieces end with their space. Default false. */
  readonly spaceSuffix?: boolean
  /**
   * Pieces of the type userDefined are symbols of the text that nothing is joined with, as in SentencePiece. Default
   * false: they cut the text into sections as control tokens do, as in llama.cpp.
   */
  readonly userDefinedSymbols?: boolean
  /** Tokens that cut the text into sections beside the control tokens, or control tokens with flags. */
  readonly addedTokens?: readonly AddedToken[]
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
  /** Pieces that text is joined to before it is cut again: those above and the unused ones. */
  readonly #joinable = new Map<string, number>()
  readonly #byteIds: (number | undefined)[] = Array(256).fill(undefined)
  readonly #unknown: number | undefined
  /** Tokens that cut the text into sections. */
  readonly #special: readonly AddedToken[]
  readonly #finder: AddedTokenFinder
  /** User-defined symbols, as a pattern and with their ids; none where they are special. */
  readonly #symbols: RegExp | null
  readonly #symbolIds: ReadonlyMap<string, number>

  /** Throws TokenizerError TOKENIZER_INVALID for a vocabulary that is not one. */
  constructor(vocabulary: PieceVocabulary) {
    const { pieces, source } = vocabulary
    const invalid = (what: string) => new TokenizerError('TOKENIZER_INVALID', `tokenizer ${source}: ${what}`)
    this.vocabulary = vocabulary
    this.vocabSize = pieces.length
    this.name = `${source} (SentencePiece BPE, ${pieces.length})`
    const special = new Map<string, AddedToken>()
    const symbols = new Map<string, number>()
    for (const [id, { text, score, type }] of pieces.entries()) {
      if (Number.isNaN(score)) throw invalid(`the score of piece ${id} is not a number`)
      if (type === PieceType.byte) {
        const byte = BYTE_PIECE.exec(text)
        if (byte === null) throw invalid(`piece ${id} is a byte, but is called ${JSON.stringify(text)}`)
        this.#byteIds[Number.parseInt(byte[1], 16)] ??= id
        continue
      }
      if (text === '') continue
      // Of two pieces with one text, the first is used, as in llama.cpp.
      const first = (map: Map<string, number>) => map.has(text) || map.set(text, id)
      const isSymbol = type === PieceType.userDefined && vocabulary.userDefinedSymbols === true
      const isJoined = type === PieceType.unused && vocabulary.userDefinedSymbols === true
      if (type === PieceType.normal || isJoined) first(this.#joinable)
      if (type === PieceType.normal) first(this.#ids)
      else if (isSymbol) first(symbols)
      else if (type !== PieceType.unused && !special.has(text))
        special.set(text, withoutFlags(id, text, type))
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
    for (const token of vocabulary.addedTokens ?? []) special.set(token.content, token)
    this.#special = [...special.values()]
    this.#finder = new AddedTokenFinder(this.#special)
    this.#symbolIds = symbols
    this.#symbols = longestFirstPattern([...symbols.keys()])
  }

  /** Throws TokenizerError CHARACTER_UNKNOWN for a character that has neither a piece nor its bytes. */
  encode(text: string): Int32Array {
    const ids: number[] = []
    for (const section of this.#finder.split(text)) {
      if ('id' in section) ids.push(section.id)
      else this.#encodeSection(section.text, ids)
    }
    return Int32Array.from(ids)
  }

  /** The space at the beginning is taken away again; one that `encode` puts behind the text is not, as in SentencePiece. */
  decode(ids: ArrayLike<number>): string {
    return textOfPieces(Array.from(ids, this.speller(true)))
  }

  speller(isWhole: boolean): (id: number) => Uint8Array {
    const { pieces, spacePrefix } = this.vocabulary
    let isFirst = isWhole && spacePrefix
    return id => {
      const bytes = this.tokenBytes(id)
      if (!isFirst || pieces[id].type === PieceType.control) return bytes
      isFirst = false
      return bytes[0] === 0x20 ? bytes.subarray(1) : bytes
    }
  }

  tokenBytes(id: number): Uint8Array {
    requireId(this, id)
    const { text, type } = this.vocabulary.pieces[id]
    if (type === PieceType.byte) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16))
    const isText = type === PieceType.normal || type === PieceType.userDefined
    return textEncoder.encode(isText ? text.replaceAll(SPACE, ' ') : text)
  }

  /**
   * A BPE with byte fallback. Every way to cut a piece into two pieces is a merge, in the order of the scores: what
   * transformers makes of a SentencePiece model. User-defined symbols are words of their own, which are looked up
   * whole. Throws TokenizerError TOKENIZER_UNSUPPORTED for a vocabulary that a tokenizer.json cannot describe.
   */
  toJSON(): object {
    const { pieces, spacePrefix, spaceSuffix = false } = this.vocabulary
    this.#requireJson()
    const added = this.#special.map(({ id, content, singleWord, lstrip, rstrip, special }) => ({
      id,
      content,
      single_word: singleWord,
      lstrip,
      rstrip,
      normalized: false,
      special,
    }))
    const prefix = spacePrefix && !spaceSuffix ? [{ type: 'Prepend', prepend: SPACE }] : []
    const suffix = spacePrefix && spaceSuffix ? [replaceWith({ Regex: '\\z' }, SPACE)] : []
    const strip = spacePrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []
    const start = this.startOfText === null ? undefined : pieces[this.startOfText].text
    return {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added.sort((a, b) => a.id - b.id),
      normalizer: {
        type: 'Sequence',
        normalizers: [...prefix, replaceWith({ String: ' ' }, SPACE), ...suffix],
      },
      pre_tokenizer:
        this.#symbols === null
          ? null
          : { type: 'Split', pattern: { Regex: this.#symbols.source }, behavior: 'Isolated', invert: false },
      post_processor: start === undefined ? null : startTemplate(start, this.startOfText!),
      decoder: {
        type: 'Sequence',
        decoders: [replaceWith({ String: SPACE }, ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, ...strip],
      },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: this.#unknown === undefined ? null : pieces[this.#unknown].text,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: !this.#byteIds.includes(undefined),
        ignore_merges: this.#symbols !== null,
        vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
        merges: this.#merges(),
      },
    }
  }

  #requireJson(): void {
    const { pieces, source } = this.vocabulary
    const refuse = (what: string) =>
      new TokenizerError(
        'TOKENIZER_UNSUPPORTED',
        `tokenizer ${source}: it cannot be written as a tokenizer.json: ${what}`,
      )
    // Joined first and cut again afterwards: merges have no such thing.
    const isPiece = (text: string) => this.#joinable.has(text)
    for (const [text, id] of this.#joinable) {
      if (pieces[id].type !== PieceType.unused || [...text].length < 2) continue
      for (let cut = 1; cut < text.length; cut++) {
        if (isPiece(text.slice(0, cut)) && isPiece(text.slice(cut))) {
          throw refuse(`its unused piece ${JSON.stringify(text)} takes part in joining`)
        }
      }
    }
    if (this.#symbols === null) return
    // With user-defined symbols a whole word that is a piece is that piece; here only when its parts join to it.
    for (const text of this.#ids.keys()) {
      const cut = this.#cut(text)
      // A word never holds a user-defined symbol.
      if (cut.some(({ isJoined }) => !isJoined)) continue
      const [first] = joined(cut, this.#joinable, pieces)
      if (first.text !== text) throw refuse(`its piece ${JSON.stringify(text)} is not joined from its parts`)
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
    const { spacePrefix, spaceSuffix = false, pieces } = this.vocabulary
    const [before, behind] = spacePrefix ? (spaceSuffix ? ['', SPACE] : [SPACE, '']) : ['', '']
    const text = before + section.replaceAll(' ', SPACE) + behind
    const begin = out.length
    for (const { text: piece, ways } of joined(this.#cut(text), this.#joinable, pieces)) {
      this.#write(piece, ways, out, begin)
    }
  }

  /** The symbols that joining begins with: characters, and user-defined symbols, which are not joined. */
  #cut(text: string): Symbol[] {
    const symbols: Symbol[] = []
    const characters = (part: string) => {
      for (const character of part) symbols.push({ text: character, isJoined: true })
    }
    let done = 0
    for (const match of this.#symbols === null ? [] : text.matchAll(this.#symbols)) {
      characters(text.slice(done, match.index))
      symbols.push({ text: match[0], isJoined: false })
      done = match.index + match[0].length
    }
    characters(text.slice(done))
    return symbols
  }

  /** Appends the id of a piece, of its two parts when it is unused, of its bytes, or of the unknown token. */
  #write(piece: string, ways: Ways, out: number[], begin: number): void {
    const id = this.#symbolIds.get(piece) ?? this.#ids.get(piece)
    if (id !== undefined) {
      out.push(id)
      return
    }
    const parts = ways.get(piece)
    if (parts !== undefined) {
      for (const part of parts) this.#write(part, ways, out, begin)
      return
    }
    const bytes = [...textEncoder.encode(piece)].map(byte => this.#byteIds[byte])
    if (!bytes.includes(undefined)) out.push(...(bytes as number[]))
    else if (this.#unknown !== undefined) {
      // Unknown pieces side by side are one.
      if (out.length === begin || out.at(-1) !== this.#unknown) out.push(this.#unknown)
    } else {
      throw new TokenizerError(
        'CHARACTER_UNKNOWN',
        `tokenizer ${this.name}: the character ${JSON.stringify(piece)} is not in its vocabulary`,
      )
    }
  }
}

function withoutFlags(id: number, content: string, type: PieceType): AddedToken {
  const flags = { singleWord: false, lstrip: false, rstrip: false, normalized: false }
  return { id, content, ...flags, special: type !== PieceType.userDefined }
}

function replaceWith(pattern: object, content: string): object {
  return { type: 'Replace', pattern, content }
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

interface Symbol {
  readonly text: string
  readonly isJoined: boolean
}

/** The two parts that a joined piece was made of. */
type Ways = ReadonlyMap<string, readonly [left: string, right: string]>

/** The symbols joined, the union with the highest score first, the leftmost of equals; and how each was made. */
function* joined(
  cut: readonly Symbol[],
  ids: ReadonlyMap<string, number>,
  pieces: readonly Piece[],
): Generator<{ text: string; ways: Ways }> {
  const symbols: (string | null)[] = cut.map(({ text }) => text)
  const next = Int32Array.from(symbols, (_, i) => i + 1)
  const previous = Int32Array.from(symbols, (_, i) => i - 1)
  const end = symbols.length
  const queue = new Heap(isBefore)
  const ways = new Map<string, readonly [string, string]>()
  const offer = (left: number, right: number) => {
    if (left < 0 || right >= end || !cut[left].isJoined || !cut[right].isJoined) return
    const union = `${symbols[left]}${symbols[right]}`
    const id = ids.get(union)
    if (id === undefined) return
    queue.push({ score: pieces[id].score, left, right, union })
    if (pieces[id].type === PieceType.unused) ways.set(union, [symbols[left]!, symbols[right]!])
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
  for (const symbol of symbols) if (symbol !== null) yield { text: symbol, ways }
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
