// The gallery shows what the entries say: curves by closed forms, plots and page true to them.

import { describe, expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../src/activations/index.js'
import { curvesOf } from '../../src/gallery/curves.js'
import { activationFigure } from '../../src/gallery/figure.js'
import { catalogPage, pictureFile } from '../../src/gallery/page.js'
import { terminalPlot } from '../../src/gallery/terminal-plot.js'
import { standaloneSvg } from '../../src/report/save-plot.js'

const silu = (x: number) => x / (1 + Math.exp(-x))

describe('curves', () => {
  it('are the function and its slope', () => {
    const { x, value, slope, drawn } = curvesOf(parseActivation('silu'), 81)
    expect(drawn).toEqual([])
    for (let i = 0; i < x.length; i++) {
      const s = 1 / (1 + Math.exp(-x[i]))
      expect(value[i]).toBeCloseTo(silu(x[i]), 6)
      expect(slope[i]).toBeCloseTo(s + x[i] * s * (1 - s), 6)
    }
  })

  it('of a drawn entry are the mean, with draws that are one branch or the other', () => {
    const { x, value, drawn } = curvesOf(parseActivation('stocha:p=0.7'), 81)
    for (let i = 0; i < x.length; i++) {
      expect(value[i]).toBeCloseTo(x[i] > 0 ? x[i] : 0.7 * silu(x[i]), 6)
      for (const draw of drawn) {
        const branches = x[i] > 0 ? [x[i]] : [0, silu(x[i])]
        expect(Math.min(...branches.map(branch => Math.abs(branch - draw[i])))).toBeLessThan(1e-6)
      }
    }
    expect(new Set(drawn.map(draw => draw.join())).size).toBe(drawn.length)
  })

  it('of a function with learned parts show it away from a start that equals another entry', () => {
    const names = ['relu', 'tmaf', 'gelu', 'xgelu', 'silu', 'xsilu', 'atlu', 'xatlu']
    const curves = names.map(name => curvesOf(parseActivation(name), 81).value.join())
    expect(new Set(curves).size).toBe(names.length)
    // As the steps of TMAF's factor stand: 0.1·x up to −2, 0.8·x above 2.
    const { x, value } = curvesOf(parseActivation('tmaf'), 81)
    expect(value[0]).toBeCloseTo(0.1 * x[0], 12)
    expect(value[80]).toBeCloseTo(0.8 * x[80], 12)
    expect(catalogPage()).toContain('(in the picture: 0.1, -0.15, 0.3, 0.6, 1, 0.8)')
  })

  it('of every entry are finite, for the terminal and as a picture', () => {
    for (const { name, spec } of listActivations()) {
      const act = parseActivation(spec)
      const curves = curvesOf(act, 81)
      expect(curves.value.every(Number.isFinite), name).toBe(true)
      expect(curves.slope.every(Number.isFinite), name).toBe(true)
      expect(standaloneSvg(activationFigure(act)), name).toMatch(/^<svg /)
    }
  })
})

describe('the terminal plot', () => {
  it('draws the curve in the quadrants where it is', () => {
    const relu = terminalPlot(curvesOf(parseActivation('relu')), 60, 10)
    const lines = relu.split('\n')
    expect(lines.length).toBe(11)
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60)
    const braille = (text: string) => [...text].filter(c => c > '\u2800' && c <= '\u28ff').length
    // Above the axis nothing on the left half, something on the right.
    for (const line of lines.slice(1, 9)) {
      expect(braille(line.slice(0, 31))).toBe(0)
      expect(braille(line.slice(31))).toBeGreaterThan(0)
    }
    expect(lines[0].trimStart().startsWith('4')).toBe(true)
  })

  it('survives a constant and values that are not numbers', () => {
    const x = Float64Array.of(-1, 0, 1)
    expect(terminalPlot({ x, value: new Float64Array(3) }, 30, 6)).toContain('0')
    expect(terminalPlot({ x, value: Float64Array.of(Number.NaN, 1, Number.POSITIVE_INFINITY) })).not.toMatch(
      /NaN|Infinity/,
    )
  })
})

describe('the page', () => {
  it('names every entry with its formula, source and picture', () => {
    const page = catalogPage()
    for (const { name, spec } of listActivations()) {
      const { formula, source } = parseActivation(spec)
      expect(page).toContain(`## ${name}\n`)
      expect(page).toContain(source)
      expect(page).toContain(pictureFile(name))
      expect(page).toContain(formula)
    }
  })
})
