// A curve in the terminal: two by four dots to a character, as Unicode's Braille patterns have them.

import type { Curves } from './curves.js'

/** Bits of the dots of a Braille character, by column and row. */
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
]
const LABEL = 6

/** `value` with a solid line, in a frame of `width` × `height` characters with both axes; at least 24 × 6. */
export function terminalPlot({ x, value }: Pick<Curves, 'x' | 'value'>, width = 64, height = 16): string {
  const columns = Math.max(24, width) - LABEL - 1
  const rows = Math.max(6, height)
  const [low, high] = extent(value)
  const cells = Array.from({ length: rows }, () => new Uint8Array(columns))
  const [dotsX, dotsY] = [columns * 2, rows * 4]
  const row = (y: number) => Math.round(((high - y) / (high - low)) * (dotsY - 1))
  const set = (dotX: number, dotY: number) => {
    if (dotX < 0 || dotX >= dotsX || dotY < 0 || dotY >= dotsY) return
    cells[dotY >> 2][dotX >> 1] |= DOTS[dotX & 1][dotY & 3]
  }
  let before: number | undefined
  for (let dotX = 0; dotX < dotsX; dotX++) {
    const y = value[Math.round((dotX / (dotsX - 1)) * (x.length - 1))]
    if (!Number.isFinite(y)) {
      before = undefined
      continue
    }
    const at = row(y)
    // A jump is drawn as what it is, a steep slope as a line.
    const from = before === undefined || Math.abs(at - before) > dotsY / 3 ? at : before
    for (let dotY = Math.min(from, at); dotY <= Math.max(from, at); dotY++) set(dotX, dotY)
    before = at
  }
  const zeroRow = row(0) >> 2
  const zeroColumn = (columns - 1) >> 1
  const lines = cells.map((line, r) => {
    const characters = Array.from(line, (bits, c) => {
      if (bits !== 0) return String.fromCharCode(0x2800 + bits)
      if (c === zeroColumn) return r === zeroRow ? '┼' : '│'
      return r === zeroRow ? '─' : ' '
    })
    const label = r === 0 ? number(high) : r === rows - 1 ? number(low) : r === zeroRow ? '0' : ''
    return `${label.padStart(LABEL)} ${characters.join('')}`.trimEnd()
  })
  const [first, last] = [number(x[0]), number(x[x.length - 1])]
  const gap = columns - first.length - last.length
  return [...lines, `${' '.repeat(LABEL + 1)}${first}${' '.repeat(gap)}${last}`].join('\n')
}

/** What the values lie in, 0 included. */
function extent(values: ArrayLike<number>): [low: number, high: number] {
  const finite = Array.from(values).filter(Number.isFinite)
  const [low, high] = [Math.min(0, ...finite), Math.max(0, ...finite)]
  return low === high ? [low - 1, high + 1] : [low, high]
}

function number(value: number): string {
  return String(Number(value.toPrecision(2))).replace('-', '−')
}
