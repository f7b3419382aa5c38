// A small tokenizer.bin of llama2.c, made here: the special pieces, the bytes, single characters, and every prefix of
// some words, so that each word can be joined from the left.

const WORDS = [
  '▁Once',
  '▁upon',
  '▁a',
  '▁time',
  '▁the',
  'ing',
  '▁she',
  '▁loved',
  '▁to',
  '▁play',
  '▁outside',
  '▁in',
  '▁park',
  'er',
  'ou',
]

/** Pieces after the bytes; the score of each is minus its position, so that earlier pieces are joined first. */
const PIECES: readonly string[] = [
  ...new Set([
    ...WORDS.flatMap(word => [...word].slice(1).map((_, i) => word.slice(0, i + 2))),
    ...letters(),
  ]),
]

function letters(): string[] {
  return [...'▁ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,"é']
}

/** 259 pieces (`<unk>`, `<s>`, `</s>`, the bytes) and PIECES, as llama2.c's tokenizer.py writes them. */
export function llama2cFile(): Buffer {
  const special = ['<unk>', '\n<s>\n', '\n</s>\n']
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  )
  const pieces = [
    ...[...special, ...bytes].map(text => ({ text, score: 0 })),
    ...PIECES.map((text, i) => ({ text: text.replaceAll('▁', ' '), score: -i })),
  ]
  const longest = Buffer.alloc(4)
  longest.writeInt32LE(Math.max(...pieces.map(({ text }) => Buffer.byteLength(text))))
  const written = pieces.map(({ text, score }) => {
    const head = Buffer.alloc(8)
    head.writeFloatLE(score)
    head.writeInt32LE(Buffer.byteLength(text), 4)
    return Buffer.concat([head, Buffer.from(text)])
  })
  return Buffer.concat([longest, ...written])
}
