// flicker sparsity: activity against counts of whole tables, the command against the model written out from its definition.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { ActivityCounter, MOST_WINDOW } from '../../src/sparsify/lab/activity.js'
import type { LabResults } from '../../src/sparsify/lab/measure.js'
import { flickerHere } from '../cli/in-process.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

describe('the activity of a layer', () => {
  // Two texts, the second ends within a window; neurons of very different rates, one never active, one always.
  const h = 40
  const texts = [3 * MOST_WINDOW + 100, MOST_WINDOW + 7]
  const random = new RandomStream({ seed: 5, purpose: Purpose.init, stream: 0 })
  const limits = Float32Array.from({ length: h }, (_, j) => 0.1 + j / 1000)
  const table = texts.map(length =>
    Array.from({ length }, () =>
      Array.from({ length: h }, (_, j) =>
        j === 0 ? false : j === 1 ? true : random.uniform() < (j / h) ** 4,
      ),
    ),
  )
  const counter = new ActivityCounter(h)
  for (const text of table) {
    counter.startText()
    for (const row of text) {
      const count = counter.add(
        Float32Array.from(row, (on, j) => (on ? (j % 2 ? 1 : -1) : 0.05)),
        limits,
      )
      if (count !== row.filter(Boolean).length) throw new Error('the count of a row is wrong')
    }
  }
  const result = counter.result()
  const rows = table.flat()

  it('has the rates, dead and hot neurons of the table', () => {
    const rates = Array.from({ length: h }, (_, j) => rows.filter(row => row[j]).length / rows.length)
    for (let j = 0; j < h; j++) expect(result.rates[j]).toBeCloseTo(rates[j], 12)
    expect(result.active).toBeCloseTo(rates.reduce((a, b) => a + b) / h, 12)
    expect(result.dead).toBeCloseTo(rates.filter(rate => rate === 0).length / h, 12)
    expect(result.hot).toBeCloseTo(rates.filter(rate => rate >= 0.5).length / h, 12)
    expect(result.tokens).toBe(rows.length)
  })

  it('aggregated sparsity is the mean of the unused neurons over whole windows', () => {
    const windows = table.flatMap(text =>
      Array.from({ length: Math.floor(text.length / MOST_WINDOW) }, (_, w) =>
        text.slice(w * MOST_WINDOW, (w + 1) * MOST_WINDOW),
      ),
    )
    expect(windows).toHaveLength(5)
    for (const t of [1, 2, 16, MOST_WINDOW]) {
      const unused = windows.map(
        window =>
          Array.from({ length: h }, (_, j) => window.slice(0, t).every(row => !row[j])).filter(Boolean)
            .length / h,
      )
      expect(result.aggregated[t - 1]).toBeCloseTo(unused.reduce((a, b) => a + b) / windows.length, 12)
    }
    const byChance = Array.from(result.rates, rate => (1 - rate) ** 16).reduce((a, b) => a + b) / h
    expect(result.independent[15]).toBeCloseTo(byChance, 12)
  })

  it('re-use is the fraction of active neurons that were active shortly before, in the same text', () => {
    for (const gamma of [1, 3, 20, MOST_WINDOW]) {
      let [again, all] = [0, 0]
      for (const text of table) {
        for (let t = MOST_WINDOW; t < text.length; t++) {
          for (let j = 0; j < h; j++) {
            if (!text[t][j]) continue
            all++
            if (text.slice(t - gamma, t).some(row => row[j])) again++
          }
        }
      }
      expect(result.reuse[gamma - 1]).toBeCloseTo(again / all, 12)
    }
  })

  it('pairs that are always active together stand out against independent ones', () => {
    const twins = new ActivityCounter(4)
    const draws = new RandomStream({ seed: 6, purpose: Purpose.init, stream: 1 })
    for (let t = 0; t < 4000; t++) {
      const [a, b, c] = [draws.uniform() < 0.5, draws.uniform() < 0.3, draws.uniform() < 0.25]
      twins.add(Float32Array.of(Number(a), Number(b), Number(b), Number(c)), new Float32Array(4))
    }
    const { neurons, lift } = twins.result().together
    const of = (a: number, b: number) => lift[neurons.indexOf(a)][neurons.indexOf(b)]
    expect(of(1, 2)).toBeCloseTo(1 / 0.3, 0)
    expect(Math.abs(of(0, 3) - 1)).toBeLessThan(0.15)
  })
})

const cwd = temporaryDirectory()
afterAll(() => fs.rmSync(cwd, { recursive: true }))
const at = (name: string) => path.join(cwd, name)
const config: ModelConfig = {
  ...smallConfig,
  vocabSize: bytesTokenizer().vocabSize,
  maxPositionEmbeddings: 64,
  activation: 'relu',
}
const tensors = randomTensors(config, 9)
const text = Array.from({ length: 200 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`).join('\n')

function write(name: string, form: ModelConfig, own = randomTensors(form, 9)): void {
  writeCheckpoint(at(name), {
    config: form,
    tensors: parameterShapes(form).map(({ name: tensor, shape }) => ({
      name: tensor,
      shape,
      data: tensorOf(own)(tensor),
    })),
    tokenizer: bytesTokenizer().toJSON(),
  })
}

beforeAll(() => {
  write('relu', config, tensors)
  write('silu', { ...config, activation: 'silu' })
  write('spark', { ...config, ffn: 'spark' })
  fs.writeFileSync(at('text.txt'), text)
  fs.writeFileSync(at('short.txt'), 'too short')
})

const run = (model: string, ...more: string[]) =>
  flickerHere([
    'sparsity',
    '--model',
    at(model),
    '--text',
    at('text.txt'),
    '--measure-tokens',
    '256',
    ...more,
  ])

describe('the command', () => {
  it('counts what the definition of the model makes 0, and keeps every measure in order', async () => {
    const { code, stdout, stderr } = await run('relu', '--tokens', '64', '--out', at('lab'), '--json')
    expect(code, stderr).toBe(0)
    const results = JSON.parse(stdout) as LabResults
    expect(JSON.parse(fs.readFileSync(at('lab/results.json'), 'utf8'))).toEqual(results)
    const tokens = [...bytesTokenizer().encode(text)].slice(0, 64)
    const { active } = naiveForward(config, tensors, tokens, { activation: parseActivation('relu') })
    expect(results.layers).toHaveLength(2)
    for (const [i, layer] of results.layers.entries()) {
      const fraction = active[i].reduce((a, b) => a + b) / 64 / config.intermediateSize
      expect(Math.abs(layer.active - fraction)).toBeLessThan(2e-3)
      expect(layer.exactZeros).toBeCloseTo(1 - layer.active, 9)
      expect(layer.quantiles).toEqual(layer.quantiles.toSorted((a, b) => a - b))
      expect(layer.errorCurve.errors).toEqual(layer.errorCurve.errors.toSorted((a, b) => a - b))
      expect(results.shown.active[i].map(share => Math.round(share * config.intermediateSize))).toEqual(
        active[i],
      )
    }
    expect(results.shown.texts.join('')).toBe(text.slice(0, 64))
    for (const list of [results.byError, results.byKept.toReversed()]) {
      const sparsities = list.map(({ sparsity }) => sparsity)
      expect(sparsities).toEqual(sparsities.toSorted((a, b) => a - b))
    }
    for (const { rise, perplexity, sparsity } of results.atRise) {
      expect(perplexity).toBeLessThanOrEqual((1 + rise) * results.perplexity)
      expect(sparsity).toBeGreaterThan(0.3)
    }
    const page = fs.readFileSync(at('lab/report.html'), 'utf8')
    // Without pairs, which a text of 64 tokens is too short for.
    expect(page).not.toMatch(/NaN|undefined|Infinity/)
    expect(page.match(/<figure/g)?.length).toBe(5)
  })

  it('counts neurons without exact zeros by their contributions', async () => {
    const { code, stdout, stderr } = await run('silu', '--tokens', '320', '--out', at('silu-lab'))
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/active where {3}its contribution is above the limit at which CETT is 0.2/)
    expect(fs.readFileSync(at('silu-lab/report.html'), 'utf8').match(/<figure/g)?.length).toBe(7)
    const [first] = JSON.parse(fs.readFileSync(at('silu-lab/results.json'), 'utf8')).layers
    expect(first.exactZeros).toBe(0)
    expect(first.active).toBeGreaterThan(0.2)
    expect(first.active).toBeLessThan(0.9)
  })

  it.each([
    ['an FFN whose hidden values cannot be cut', ['spark'], 'METHOD_FFN'],
    ['a short text', ['relu', '--text', at('short.txt')], 'CORPUS_TOO_SHORT'],
    ['windows too short to count in', ['relu', '--context', '32'], 'CORPUS_TOO_SHORT'],
    ['nothing left to measure on', ['relu', '--tokens', '60000'], 'HELD_OUT_MISSING'],
    ['a directory that exists', ['relu', '--out', at('relu')], 'DESTINATION_EXISTS'],
  ])('refuses %s in one line and writes nothing', async (_, [model, ...more], code) => {
    const before = fs.readdirSync(cwd)
    const { code: exit, stderr } = await run(model, '--out', at('refused'), ...more)
    expect(exit).toBe(2)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).toContain(`[${code}]`)
    expect(fs.readdirSync(cwd)).toEqual(before)
  })
})
