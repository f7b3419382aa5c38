// The byte-level alphabet of GPT-2 and the patterns that cut text into words before byte-pair merges.
// Radford et al. 2019; encoder.py of openai/gpt-2.

/**
 * GPT-2 writes each byte as one visible character, so that a vocabulary is ordinary text: printable Latin-1 stands
 * for itself, the other 68 bytes take the characters from U+0100 on. Entry b is the character of byte b.
 */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters()
const BYTE_OF_CHARACTER = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]))

function byteCharacters(): string[] {
  const characters: string[] = []
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad)
    characters.push(String.fromCharCode(printable ? byte : next++))
  }
  return characters
}

/** Bytes written in the byte-level alphabet. */
export function toByteLevel(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += BYTE_CHARACTERS[byte]
  return text
}

/** The bytes that a byte-level string stands for, or null when a character is outside the alphabet. */
export function fromByteLevel(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF_CHARACTER.get(text[i])
    if (byte === undefined) return null
    bytes[i] = byte
  }
  return bytes
}

// The published patterns are for engines whose \s is Unicode White_Space; JavaScript's \s counts U+FEFF in and
// U+0085 out, so the property is spelled out when a pattern is compiled.
function compile(pattern: string): RegExp {
  return new RegExp(pattern.replaceAll('\\s', '\\p{White_Space}').replaceAll('\\S', '\\P{White_Space}'), 'gu')
}

const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/** How GPT-2 and Hugging Face's `ByteLevel` cut text into words. It covers every character. */
export const GPT2_SPLIT = compile(GPT2_PATTERN)

const CONTRACTIONS = "('s|'S|'t|'T|'re|'rE|'Re|'RE|'ve|'vE|'Ve|'VE|'m|'M|'ll|'lL|'Ll|'LL|'d|'D)"
const UPPER = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}'
const LOWER = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}'

/** cl100k's pattern with other contractions or another way to cut numbers. */
const likeCl100k = (contractions: string, numbers: string) =>
  [
    contractions,
    '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+',
    numbers,
    ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*',
    '\\s*[\\r\\n]+',
    '\\s+(?!\\S)',
    '\\s+',
  ].join('|')

/** Word pattern of cl100k_base, as published with openai/tiktoken. Llama 3 cuts words the same way. */
export const CL100K_PATTERN = likeCl100k(CONTRACTIONS, '\\p{N}{1,3}')
/** Word pattern of Qwen2: every digit by itself. */
export const QWEN2_PATTERN = likeCl100k(CONTRACTIONS, '\\p{N}')

const ANY_CASE = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
/** The same two as the tokenizer.json of Llama 3 and of Qwen2 write them. */
export const LLAMA3_JSON_PATTERN = likeCl100k(ANY_CASE, '\\p{N}{1,3}')
export const QWEN2_JSON_PATTERN = likeCl100k(ANY_CASE, '\\p{N}')

/** Word pattern of o200k_base, as published with openai/tiktoken. */
export const O200K_PATTERN = [
  `[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]*[${LOWER}]+${CONTRACTIONS}?`,
  `[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]+[${LOWER}]*${CONTRACTIONS}?`,
  '\\p{N}{1,3}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|')

/** Patterns of a `Split` pre-tokenizer that our encoder knows to read as their own engine would. */
export const KNOWN_SPLITS: ReadonlyMap<string, RegExp> = new Map(
  [GPT2_PATTERN, CL100K_PATTERN, QWEN2_PATTERN, O200K_PATTERN].map(pattern => [pattern, compile(pattern)]),
)

/** The text whose bytes stand in pieces that may end inside a character. */
export function textOfPieces(pieces: readonly Uint8Array[]): string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return pieces.map(piece => decoder.decode(piece, { stream: true })).join('') + decoder.decode()
}
