// SentencePiece's own file, tokenizer.model: a protobuf message with the pieces, how the model was trained and how it
// normalizes text. Only what a BPE needs is read. sentencepiece_model.proto of github.com/google/sentencepiece

import { TokenizerError } from '../../errors.js'
import type { AddedToken } from './pipeline/added-tokens.js'
import { type Piece, PieceType, SentencePieceBpe } from './sentencepiece.js'

/** Field numbers of ModelProto, SentencePiece, TrainerSpec and NormalizerSpec. */
const MODEL = { pieces: 1, trainer: 2, normalizer: 3 } as const
const PIECE = { text: 1, score: 2, type: 3 } as const
const TRAINER = { modelType: 3, spaceSuffix: 24, startOfText: 41, endOfText: 42 } as const
const NORMALIZER = { characterMap: 2, spacePrefix: 3, removeExtraSpaces: 4, escapeSpaces: 5 } as const
const BPE = 2

/** How a field's value is written. */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

export interface SentencePieceOptions {
  /** Whether texts begin with the token that the model names for that. Default true, as Llama's do. */
  readonly startOfText?: boolean
  /** Ids of tokens put behind the pieces by later training, by text: what added_tokens.json holds. */
  readonly added?: Readonly<Record<string, number>>
  /** Tokens with their flags, which take the place of pieces of their ids: added_tokens_decoder of tokenizer_config.json. */
  readonly addedTokens?: readonly AddedToken[]
}

/**
 * The tokenizer in a tokenizer.model. Throws TokenizerError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED (a model that is no
 * BPE, or that normalizes text).
 */
export function tokenizerFromSentencePiece(
  bytes: Uint8Array,
  source: string,
  options: SentencePieceOptions = {},
): SentencePieceBpe {
  const invalid = (what: string) => new TokenizerError('TOKENIZER_INVALID', `tokenizer ${source}: ${what}`)
  const unsupported = (what: string) =>
    new TokenizerError('TOKENIZER_UNSUPPORTED', `tokenizer ${source}: ${what}; use its tokenizer.json`)
  const pieces: Piece[] = []
  let [modelType, start, end] = [1, 1, 2]
  // The defaults of the format, which Llama's file sets otherwise.
  let [spacePrefix, removesSpaces, escapesSpaces, mapsCharacters] = [true, true, true, false]
  let spaceSuffix = false
  for (const [field, value] of fields(bytes, invalid)) {
    if (!(value instanceof Uint8Array)) continue
    if (field === MODEL.pieces) pieces.push(pieceOf(value, invalid))
    else if (field === MODEL.trainer) {
      for (const [key, setting] of fields(value, invalid)) {
        if (typeof setting !== 'number') continue
        if (key === TRAINER.modelType) modelType = setting
        else if (key === TRAINER.spaceSuffix) spaceSuffix = setting !== 0
        else if (key === TRAINER.startOfText) start = setting
        else if (key === TRAINER.endOfText) end = setting
      }
    } else if (field === MODEL.normalizer) {
      for (const [key, setting] of fields(value, invalid)) {
        if (key === NORMALIZER.spacePrefix) spacePrefix = setting !== 0
        else if (key === NORMALIZER.removeExtraSpaces) removesSpaces = setting !== 0
        else if (key === NORMALIZER.escapeSpaces) escapesSpaces = setting !== 0
        else if (key === NORMALIZER.characterMap)
          mapsCharacters = setting instanceof Uint8Array && setting.length > 0
      }
    }
  }
  if (pieces.length === 0) throw invalid('it has no pieces; it is no tokenizer.model of SentencePiece')
  if (modelType !== BPE) throw unsupported('it is no BPE')
  if (removesSpaces || mapsCharacters || !escapesSpaces) throw unsupported('it normalizes text')
  const padTo = (id: number) => {
    // Ids up to there that no token has.
    while (pieces.length < id)
      pieces.push({ text: `[PAD${pieces.length}]`, score: 0, type: PieceType.unused })
  }
  for (const [text, id] of Object.entries(options.added ?? {}).sort((a, b) => a[1] - b[1])) {
    if (id < pieces.length) {
      if (pieces[id]?.text === text) continue
      throw invalid(`added token ${JSON.stringify(text)} has the id ${id}, which another piece has`)
    }
    padTo(id)
    pieces.push({ text, score: 0, type: PieceType.control })
  }
  const addedTokens: AddedToken[] = []
  for (const token of (options.addedTokens ?? []).toSorted((a, b) => a.id - b.id)) {
    const { id, content, special } = token
    padTo(id)
    const known = pieces[id]?.text === content ? pieces[id].type : undefined
    // The model itself knows user-defined symbols without flags better than a cut into sections.
    const hasFlags = token.singleWord || token.lstrip || token.rstrip
    if (known === PieceType.userDefined && !hasFlags) continue
    if (known === undefined || known === PieceType.normal) {
      pieces[id] = { text: content, score: 0, type: special ? PieceType.control : PieceType.userDefined }
    }
    addedTokens.push(token)
  }
  // −1 says that there is no such token.
  const id = (given: number) => (given < pieces.length ? given : null)
  return new SentencePieceBpe({
    source,
    pieces,
    spacePrefix,
    spaceSuffix,
    userDefinedSymbols: true,
    addedTokens,
    startOfText: options.startOfText === false ? null : id(start),
    endOfText: id(end),
  })
}

function pieceOf(bytes: Uint8Array, invalid: (what: string) => TokenizerError): Piece {
  let [text, score, type] = ['', 0, PieceType.normal as number]
  for (const [field, value] of fields(bytes, invalid)) {
    if (field === PIECE.text && value instanceof Uint8Array) text = decoded(value, invalid)
    else if (field === PIECE.score && value instanceof Uint8Array && value.length === 4) {
      score = new DataView(value.buffer, value.byteOffset, 4).getFloat32(0, true)
    } else if (field === PIECE.type && typeof value === 'number') type = value
  }
  if (!Object.values<number>(PieceType).includes(type)) throw invalid(`a piece has the unknown type ${type}`)
  return { text, score, type: type as PieceType }
}

function decoded(bytes: Uint8Array, invalid: (what: string) => TokenizerError): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw invalid('a piece is not UTF-8')
  }
}

/** The fields of a protobuf message: integers, or the bytes of anything else. Negative numbers come as 2⁶⁴ − n. */
function* fields(
  bytes: Uint8Array,
  invalid: (what: string) => TokenizerError,
): Generator<readonly [field: number, value: number | Uint8Array]> {
  let at = 0
  const varint = (): number => {
    let [value, factor] = [0, 1]
    for (let length = 0; length < 10; length++) {
      if (at >= bytes.length) break
      const byte = bytes[at++]
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 128
    }
    throw invalid('it is cut off, or no tokenizer.model of SentencePiece')
  }
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw invalid('it is cut off, or no tokenizer.model of SentencePiece')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = varint()
    const wire = tag % 8
    const field = Math.floor(tag / 8)
    if (wire === WIRE.varint) yield [field, varint()]
    else if (wire === WIRE.bytes) yield [field, take(varint())]
    else if (wire === WIRE.fixed32) yield [field, take(4)]
    else if (wire === WIRE.fixed64) yield [field, take(8)]
    else throw invalid('it is no tokenizer.model of SentencePiece')
  }
}
