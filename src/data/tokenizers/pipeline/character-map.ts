// The table by which SentencePiece replaces characters before it cuts a text (`precompiled_charsmap`): a double-array trie
// over UTF-8 bytes whose values are offsets of replacements. Layout: normalizer.cc of github.com/google/sentencepiece and
// darts.h of github.com/s-yata/darts-clone.

import { TokenizerError } from '../../../errors.js'

const LABEL = 0x800000ff
const VALUE = 0x7fffffff

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder()

interface Match {
  /** Bytes of the text that are replaced. */
  readonly length: number
  /** What replaces them, in UTF-8. */
  readonly replacement: Uint8Array
}

export class CharacterMap {
  readonly #source: string
  /** Units of the trie. */
  readonly #trie: Uint32Array
  /** Replacements, each ended by a 0. */
  readonly #replacements: Uint8Array

  /**
   * bytes: the size of the trie in bytes (u32), the trie, the replacements; little-endian. Throws TokenizerError
   * TOKENIZER_INVALID.
   */
  constructor(bytes: Uint8Array, source: string) {
    this.#source = source
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const size = bytes.length < 4 ? 0 : view.getUint32(0, true)
    if (size === 0 || size % 4 !== 0 || 4 + size > bytes.length) throw this.#invalid('its sizes do not fit')
    this.#trie = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true))
    this.#replacements = bytes.subarray(4 + size)
  }

  #invalid(what: string): TokenizerError {
    const message = `tokenizer ${this.#source}: its table of replaced characters is damaged: ${what}`
    return new TokenizerError('TOKENIZER_INVALID', message)
  }

  /** The entries that begin at byte `start` of `text`, shortest first: the first one, or the last. Null for none. */
  match(text: Uint8Array, start: number, end: number, which: 'first' | 'last'): Match | null {
    const trie = this.#trie
    let found: [length: number, offset: number] | null = null
    let node = offsetOf(trie[0])
    for (let at = start; at < end; at++) {
      node ^= text[at]
      const unit = trie[node]
      if (unit === undefined || (unit & LABEL) >>> 0 !== text[at]) break
      node ^= offsetOf(unit)
      if (((unit >>> 8) & 1) === 0) continue
      if (node >= trie.length) throw this.#invalid('an entry has no value')
      found = [at + 1 - start, trie[node] & VALUE]
      if (which === 'first') break
    }
    return found === null ? null : { length: found[0], replacement: this.#replacement(found[1]) }
  }

  #replacement(offset: number): Uint8Array {
    const end = this.#replacements.indexOf(0, offset)
    if (offset >= this.#replacements.length || end < 0) throw this.#invalid('an entry ends outside')
    return this.#replacements.subarray(offset, end)
  }
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6)
}

/** As SentencePiece: at each place the longest entry that begins there is replaced. */
export function replaceLongest(map: CharacterMap): (text: string) => string {
  return text => {
    const bytes = textEncoder.encode(text)
    const out: Uint8Array[] = []
    let kept = 0
    for (let at = 0; at < bytes.length; ) {
      const match = map.match(bytes, at, bytes.length, 'last')
      if (match === null) {
        at++
        // To the next character.
        while ((bytes[at] & 0xc0) === 0x80) at++
        continue
      }
      out.push(bytes.subarray(kept, at), match.replacement)
      at += match.length
      kept = at
    }
    if (out.length === 0) return text
    out.push(bytes.subarray(kept))
    return textDecoder.decode(concatenated(out))
  }
}

/** Longer graphemes are looked up by character. */
const LONGEST_GRAPHEME = 5

/**
 * As Hugging Face's tokenizers: of each grapheme of at most 5 bytes, and else of each of its characters, the shortest entry that it
 * begins with replaces the whole of it.
 */
export function replaceGraphemes(map: CharacterMap): (text: string) => string {
  const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' })
  const known = new Map<string, string>()
  const replaced = (part: string): string | null => {
    const bytes = textEncoder.encode(part)
    const match = map.match(bytes, 0, bytes.length, 'first')
    return match === null ? null : textDecoder.decode(match.replacement)
  }
  const ofGrapheme = (grapheme: string): string => {
    const whole = textEncoder.encode(grapheme).length <= LONGEST_GRAPHEME ? replaced(grapheme) : null
    return whole ?? Array.from(grapheme, character => replaced(character) ?? character).join('')
  }
  return text => {
    let out = ''
    for (const { segment } of segmenter.segment(text)) {
      let own = known.get(segment)
      if (own === undefined) {
        own = ofGrapheme(segment)
        if (known.size < MOST_KNOWN) known.set(segment, own)
      }
      out += own
    }
    return out
  }
}

const MOST_KNOWN = 1 << 16

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
