// llama2.c's tokenizer.bin: the longest piece's length (int32), then per piece its score (float32), its length in
// bytes (int32) and its bytes, with a space for U+2581. The first three pieces are <unk>, <s> and </s>, the next 256
// the bytes. https://github.com/karpathy/llama2.c

import { TokenizerError } from '../../errors.js'
import { type Piece, PieceType, SentencePieceBpe } from './sentencepiece.js'

/** Pieces before the ordinary ones: <unk>, <s>, </s> and a piece per byte. */
const SPECIAL = 3
const FIRST_ORDINARY = SPECIAL + 256
/** A score, a length and at least one byte. */
const SMALLEST_PIECE = 9
/** No piece of any vocabulary is near as long. */
const LONGEST_PIECE = 1 << 16

/** The tokenizer in the bytes of a tokenizer.bin. Throws TokenizerError TOKENIZER_INVALID. */
export function tokenizerFromLlama2c(bytes: Uint8Array, source: string): SentencePieceBpe {
  const invalid = (what: string) => new TokenizerError('TOKENIZER_INVALID', `tokenizer ${source}: ${what}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 + FIRST_ORDINARY * SMALLEST_PIECE) {
    throw invalid('too short to be a tokenizer.bin of llama2.c')
  }
  const longest = view.getInt32(0, true)
  if (longest < 1 || longest > LONGEST_PIECE) {
    throw invalid(`a longest piece of ${longest} bytes; it is no tokenizer.bin of llama2.c`)
  }
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const pieces: Piece[] = []
  for (let at = 4; at < bytes.length; ) {
    const id = pieces.length
    if (at + 8 > bytes.length) throw invalid(`it ends inside piece ${id}`)
    const score = view.getFloat32(at, true)
    const length = view.getInt32(at + 4, true)
    if (length < 0 || length > longest)
      throw invalid(`piece ${id} is ${length} bytes long, the longest ${longest}`)
    if (at + 8 + length > bytes.length) throw invalid(`it ends inside piece ${id}`)
    let text: string
    try {
      text = utf8.decode(bytes.subarray(at + 8, at + 8 + length))
    } catch {
      throw invalid(`piece ${id} is not UTF-8`)
    }
    pieces.push(pieceOf(id, text, score))
    at += 8 + length
  }
  if (pieces.length < FIRST_ORDINARY) throw invalid(`it has ${pieces.length} pieces, fewer than bytes`)
  // llama2.c separates texts by <s> alone: a story ends where the next begins.
  return new SentencePieceBpe({ source, pieces, spacePrefix: true, startOfText: 1, endOfText: 1 })
}

function pieceOf(id: number, text: string, score: number): Piece {
  if (id >= FIRST_ORDINARY) return { text: text.replaceAll(' ', '\u2581'), score, type: PieceType.normal }
  if (id >= SPECIAL) {
    const hex = (id - SPECIAL).toString(16).toUpperCase().padStart(2, '0')
    return { text: `<0x${hex}>`, score, type: PieceType.byte }
  }
  return { text: ['<unk>', '<s>', '</s>'][id], score, type: id === 0 ? PieceType.unknown : PieceType.control }
}
