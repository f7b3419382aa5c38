// Lines over training steps: what leaves the frame has a mark at its edge.

import { describe, expect, it } from 'vitest'
import { runLines, type SeedPoint } from '../../src/report/lines.js'
import { runStyle } from '../../src/report/palette.js'

/** The marks at the edges of a frame that shows 0 to 1, as upper or lower, line or band. */
function marksOf(measured: readonly SeedPoint[]): string[] {
  const line = { label: 'run', style: runStyle(0), measured, background: [], switchStep: null }
  const figure = runLines([line], {
    ...{ id: 'figure', ariaLabel: 'a figure', width: 800, steps: [0, 100], range: [0, 1] },
    ...{ yLabel: 'loss', valueText: String },
  })
  const dots = [...figure.toString().matchAll(/<g[^>]*aria-label="dot"[^>]*>.*?<\/g>/gs)].map(([all]) => all)
  return dots.flatMap(group => {
    const symbol = /<path[^>]*transform="[^"]*"/.exec(group)?.[0]
    if (symbol === undefined || !group.includes('stroke="var(--run-0)"')) return []
    const kind = /fill="none"/.test(group) ? 'band' : 'line'
    return [`${symbol.includes('rotate(180)') ? 'below' : 'above'}, ${kind}`]
  })
}

describe('beyond the frame', () => {
  const inside = { x: 50, y: 0.5, low: 0.4, high: 0.6 }

  it('nothing is marked where all lies inside', () => {
    expect(marksOf([{ x: 0, y: 1, low: 0, high: 1 }, inside])).toEqual([])
  })

  it('a line and a band are marked where they leave it, above and below', () => {
    expect(marksOf([{ x: 0, y: 2, low: 1.5, high: 3 }, inside])).toEqual(['above, line'])
    expect(marksOf([{ x: 0, y: 0.9, low: 0.8, high: 1.2 }, inside])).toEqual(['above, band'])
    expect(marksOf([{ x: 0, y: -1, low: -2, high: -0.5 }, inside])).toEqual(['below, line'])
    expect(marksOf([{ x: 0, y: 0.1, low: -0.1, high: 0.2 }, inside])).toEqual(['below, band'])
    expect(marksOf([{ x: 0, y: 0.5, low: -1, high: 2 }, inside])).toEqual(['above, band', 'below, band'])
  })
})
