// Figures as files: SVG that needs no page around it, PNG of the right size with lettering.

import fs from 'node:fs'
import path from 'node:path'
import * as Plot from '@observablehq/plot'
import { describe, expect, it } from 'vitest'
import { PAGE_COLORS, RUN_COLORS } from '../../src/report/palette.js'
import { draw } from '../../src/report/plot.js'
import { savePlot, standaloneSvg, withDarkScheme } from '../../src/report/save-plot.js'
import { temporaryDirectories } from '../data/temporary.js'

function figure(text: string) {
  return draw('one', 'a figure', {
    width: 200,
    height: 100,
    marks: [
      Plot.line(
        [
          { x: 0, y: 0 },
          { x: 1, y: 1 },
        ],
        { x: 'x', y: 'y', stroke: 'var(--run-1)' },
      ),
      Plot.text([text], { frameAnchor: 'middle', fontSize: 20, fill: 'var(--ink)' }),
    ],
  })
}

/** Width and height from the header of a PNG (ISO/IEC 15948, 11.2.2). */
function pngSize(bytes: Buffer): [number, number] {
  expect(bytes.subarray(0, 8)).toEqual(Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]))
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
}

describe('a figure as a file', () => {
  const directory = temporaryDirectories()({})

  it('is an SVG without variables of a page, in its light colors', () => {
    const file = path.join(directory, 'figure.svg')
    savePlot(figure('x'), file)
    const svg = fs.readFileSync(file, 'utf8')
    expect(svg).toContain('xmlns="http://www.w3.org/2000/svg"')
    expect(svg).toContain(RUN_COLORS.light[1])
    expect(svg).not.toContain('var(')
  })

  it('has positions to a hundredth of a px, and words as they are', () => {
    const svg = standaloneSvg(
      '<svg width="10"><path d="M1.23456,-7.5L0.001999"/><text x="3.14159">p = 0.12345</text></svg>',
    )
    expect(svg).toContain('d="M1.23,-7.5L0.00"')
    expect(svg).toContain('x="3.14"')
    expect(svg).toContain('p = 0.12345')
  })

  it('is a PNG with two pixels per px, whose letters are really drawn', () => {
    const sizes = ['', 'Flicker'].map(text => {
      const file = path.join(directory, `figure-${text}.PNG`)
      savePlot(figure(text), file)
      const bytes = fs.readFileSync(file)
      expect(pngSize(bytes)).toEqual([400, 200])
      return bytes.length
    })
    expect(sizes[1]).toBeGreaterThan(sizes[0] + 500)
  })

  it('has no other format, and says so before anything is written', () => {
    expect(() => savePlot(figure('x'), path.join(directory, 'figure.gif'))).toThrow(
      expect.objectContaining({ code: 'PLOT_FORMAT' }),
    )
    expect(fs.readdirSync(directory).some(name => name.endsWith('.gif'))).toBe(false)
  })

  it('must be a drawing', () => {
    expect(() => standaloneSvg('<p>')).toThrow(TypeError)
  })
})

it('follows a dark page: every color of the drawing has its dark one, and the light one without a style sheet', () => {
  const svg = withDarkScheme(standaloneSvg(figure('word')))
  expect(svg).toContain(`stroke="${RUN_COLORS.light[1]}"`)
  expect(svg).toContain('@media (prefers-color-scheme:dark)')
  expect(svg).toContain(`[stroke="${RUN_COLORS.light[1]}"]{stroke:${RUN_COLORS.dark[1]}}`)
  expect(svg).toContain(`[fill="${PAGE_COLORS.light.ink}"]{fill:${PAGE_COLORS.dark.ink}}`)
  expect(svg).toContain(`[fill="${PAGE_COLORS.light.page}"]{fill:${PAGE_COLORS.dark.page}}`)
})
