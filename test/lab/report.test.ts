// Figures, table and page: made from results alone, readable without a network, with any text in them.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { GATE_BINS, GATE_QUANTILES } from '../../src/lab/metrics.js'
import { labSchema, variantsOf } from '../../src/lab/options.js'
import { labFigures } from '../../src/lab/report/figures.js'
import { renderLabPage } from '../../src/lab/report/page.js'
import { renderLabTable } from '../../src/lab/report/table.js'
import { divergenceWarnings, isDiverged, type LabResults, type RunRecord } from '../../src/lab/results.js'
import { savePlot } from '../../src/report/save-plot.js'
import { displayWidth } from '../../src/report/visible-text.js'
import { temporaryDirectories } from '../data/temporary.js'

const temporary = temporaryDirectories()
const EPOCHS = 12

function run(seed: number, level: number, gated: boolean): RunRecord {
  const epochs = Array.from({ length: EPOCHS }, (_, i) => i)
  return {
    seed,
    trainLoss: epochs.map(i => level + 1 / (i + 1)),
    validationLoss: epochs.map(i => level + 0.1 * seed + 1 / (i + 1)),
    accuracy: epochs.map(i => 0.9 - 0.3 / (i + 1)),
    sparsity: epochs.map(() => level / 10),
    ...(gated && {
      gate: {
        mean: epochs.map(i => 0.5 + i / 100),
        quantiles: epochs.map(() => GATE_QUANTILES.map(share => share)),
        histogram: epochs.map(() => new Array(GATE_BINS).fill(1 / GATE_BINS)),
      },
    }),
    seconds: 1,
  }
}

function results(label: string): LabResults {
  const config = labSchema.parse({
    title: 'A title <b>',
    nRuns: 2,
    variants: [
      { name: 'one', label, activation: 'relu' },
      { name: 'gated', activation: 'learnable_stoch' },
    ],
  })
  return {
    formatVersion: 1,
    name: 'test',
    title: config.title,
    finishedAt: '2026-01-01T00:00:00.000Z',
    machine: {
      version: '0.0.0',
      backend: 'native',
      isa: 'avx2',
      available: ['avx2'],
      cpu: 'a <processor>',
      cores: 2,
      threads: 2,
      node: 'v20',
    },
    config,
    data: { description: 'data & more', features: 30, classes: 2, trainSamples: 80, validationSamples: 20 },
    seeds: [0, 1],
    variants: variantsOf(config).map((variant, i) => ({
      ...variant,
      epochs: EPOCHS,
      widths: [30, 4, 2],
      runs: [run(0, i + 1, i === 1), run(1, i + 1, i === 1)],
    })),
    seconds: 3,
    foundRuns: 0,
  }
}

describe("the lab's figures", () => {
  const figures = labFigures(results('plain'))

  it('are those of the blog, and one of gates for each variant that has a gate', () => {
    expect(figures.map(({ name }) => name)).toEqual([
      'train_loss',
      'val_loss',
      'accuracy',
      'sparsity',
      'final_loss',
      'gate_weights_gated',
    ])
  })

  it.each(figures.map(figure => [figure.name, figure] as const))(
    '%s has a title, and no NaN in its lines',
    (_, figure) => {
      for (const width of [900, 358]) {
        const svg = figure.draw({ width, id: 'figure' }).toString()
        expect(svg).toMatch(/^<svg/)
        expect(svg).not.toMatch(/NaN|undefined|Infinity/)
        expect(svg).toMatch(/aria-label="[^"]{10}/)
      }
    },
  )

  it('name every variant where the lines end', () => {
    const svg = figures[1].draw({ width: 900, id: 'figure' }).toString()
    for (const name of ['plain', 'gated']) expect(svg.includes(name)).toBe(true)
  })

  it('have a point for every epoch, counted from 1', () => {
    const svg = figures[0].draw({ width: 900, id: 'figure' }).toString()
    // 1 + 1/epoch in both runs.
    for (const text of ['plain, epoch 1: 2.000', 'plain, epoch 12: 1.083']) expect(svg).toContain(text)
    expect(svg).not.toMatch(/epoch (0|-1|13):/)
  })

  it('of gates give SiLU what ReLU leaves of 1', () => {
    const svg = figures[5].draw({ width: 900, id: 'figure' }).toString()
    // The weight of ReLU is 0.5 + i/100 after epoch i + 1.
    for (const text of [
      'ReLU, epoch 1: 0.50',
      'SiLU, epoch 1: 0.50',
      'ReLU, epoch 12: 0.61',
      'SiLU, epoch 12: 0.39',
    ])
      expect(svg).toContain(text)
  })

  it('draw the mean of the runs: two runs that end at 1.083 and 1.183 give a line through 1.133', () => {
    const final = figures[4].draw({ width: 900, id: 'figure' }).toString()
    expect(final.includes('1.133 ± 0.071')).toBe(true)
  })
})

describe("the lab's page", () => {
  const label = '<script>alert(1)</script> & "quotes"'
  const shown = results(label)
  const page = renderLabPage(shown, labFigures(shown))

  it('needs nothing from elsewhere, and runs one script of its own', () => {
    expect(page.match(/<script src|<link|<img|@import|url\(\s*["']?http/gi)).toBeNull()
    expect(page.match(/https?:\/\/(?!www\.w3\.org)/g)).toBeNull()
    expect(page.match(/<script>/g)?.length).toBe(1)
    expect(page.includes("default-src 'none'")).toBe(true)
  })

  it('shows any text as text', () => {
    const texts = [
      '&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot;',
      'A title &lt;b&gt;',
      'data &amp; more',
    ]
    for (const text of texts) expect(page.includes(text), text).toBe(true)
  })

  it('has table, figures and the recipe, for light and dark', () => {
    for (const text of ['<table>', 'nRuns: 2', 'prefers-color-scheme:dark']) {
      expect(page.includes(text), text).toBe(true)
    }
    expect(page.match(/<figure /g)?.length).toBe(6)
  })

  it('has figures that are well-formed as files too, whatever their labels', () => {
    const directory = temporary({})
    for (const figure of labFigures(shown)) {
      // The reader of the PNG step is an XML parser.
      savePlot(figure.draw({ width: 900, id: 'figure' }), path.join(directory, `${figure.name}.png`))
    }
    expect(fs.readdirSync(directory).length).toBe(6)
  })
})

describe("the lab's table", () => {
  it('gives mean and deviation of the last epoch', () => {
    const table = renderLabTable(results('plain'))
    expect(table).toMatch(/plain +1\.083 ± 0\.000 +1\.133 ± 0\.071/)
    expect(table.split('\n').find(line => line.startsWith('gated'))).toContain('0.61 ± 0.00')
  })

  it('fits the terminal, and drops columns before it cuts names', () => {
    for (const width of [80, 100, 140]) {
      const table = renderLabTable(results('an activation with a name'), width)
      for (const line of table.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(width)
      expect(table).toContain('validation loss')
    }
    expect(renderLabTable(results('an activation with a name'), 90)).toContain('an activation with a name')
  })
})

describe('a run that diverged', () => {
  const good = results('good')
  const [one, gated] = good.variants
  const bad = { ...one.runs[1], trainLoss: one.runs[1].trainLoss.map(() => 1e7), validationLoss: [2.76e16] }
  const mixed = { ...good, variants: [{ ...one, runs: [one.runs[0], bad] }, gated] }

  it('is one that ends above ten times the loss of guessing, or without a finite one', () => {
    const ending = (train: number, validation = 1): RunRecord => ({
      ...one.runs[0],
      trainLoss: [train],
      validationLoss: [validation],
    })
    expect(isDiverged(ending(10 * Math.LN2 + 0.01), 2)).toBe(true)
    expect(isDiverged(ending(10 * Math.LN2 - 0.01), 2)).toBe(false)
    expect(isDiverged(ending(10 * Math.LN2 + 0.01), 3)).toBe(false)
    expect(isDiverged(ending(1, Number.POSITIVE_INFINITY), 2)).toBe(true)
    expect(isDiverged(ending(Number.NaN), 2)).toBe(true)
  })

  it('is counted in the table and named, instead of spoiling a mean', () => {
    expect(renderLabTable(mixed)).toContain('1 of 2 diverged')
    expect(renderLabTable(mixed)).not.toContain('e16')
    expect(divergenceWarnings(mixed)).toEqual([expect.stringContaining('good: 1 of 2 runs diverged')])
    expect(divergenceWarnings(good)).toEqual([])
  })

  it('does not scale the axes', () => {
    const loss = labFigures(mixed).find(({ name }) => name === 'val_loss')
    const ticks = (loss?.draw({ width: 900, id: 'a' }).toString() ?? '').match(/>[\d.]+e?\d*<\/text>/g) ?? []
    expect(ticks.length).toBeGreaterThan(3)
    for (const tick of ticks) expect(Number(tick.slice(1, -7))).toBeLessThan(20)
  })
})
