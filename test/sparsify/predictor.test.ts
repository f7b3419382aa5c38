// The lab's predictor and its measures of approximate decoding: what can be predicted is, its recall is the one asked for, and
// decoding that leaves nothing out costs nothing. The command, its file, and files that are none.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, load } from '../../src/engine/index.js'
import { readPredictor, writeCheckpoint, writePredictor } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import { fillNormal, Purpose } from '../../src/kernels/philox.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { measureApproximate } from '../../src/sparsify/lab/approximate.js'
import { LayerRecord, trainPredictor } from '../../src/sparsify/lab/train-predictor.js'
import { flickerHere } from '../cli/in-process.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const cwd = temporaryDirectory()
afterAll(() => fs.rmSync(cwd, { recursive: true }))
const at = (name: string) => path.join(cwd, name)
const base = { ...smallConfig, vocabSize: bytesTokenizer().vocabSize }

beforeAll(() => {
  for (const [name, activation] of [
    ['relu', 'relu'],
    ['silu', 'silu'],
  ] as const) {
    const config = { ...base, activation }
    const tensors = tensorOf(randomTensors(config, 9))
    writeCheckpoint(at(name), {
      config,
      tensors: parameterShapes(config).map(one => ({ ...one, data: tensors(one.name) })),
      tokenizer: bytesTokenizer().toJSON(),
    })
  }
  const lines = Array.from({ length: 400 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`)
  fs.writeFileSync(at('text.txt'), lines.join('\n'))
})

function normal(n: number, stream: number): Float32Array {
  const values = new Float32Array(n)
  fillNormal(values, { seed: 8, purpose: Purpose.init, stream }, 0, 1)
  return values
}

describe('a predictor', () => {
  const [d, h, rows] = [12, 20, 2000]
  const x = normal(rows * d, 1)
  const directions = normal(2 * d, 2)
  const mixes = normal(2 * h, 3)

  /** Neurons that depend on two directions of the input, some rarely active; `noise` takes them apart. */
  function record(noise: number): LayerRecord {
    const all = new LayerRecord(rows)
    const others = normal(rows * h, 4)
    const activated = new Float32Array(rows * h)
    for (let t = 0; t < rows; t++) {
      const along = [0, 1].map(r => {
        let sum = 0
        for (let k = 0; k < d; k++) sum += directions[r * d + k] * x[t * d + k]
        return sum / Math.sqrt(d)
      })
      for (let j = 0; j < h; j++) {
        const score = mixes[2 * j] * along[0] + mixes[2 * j + 1] * along[1] - (j % 3) / 2
        activated[t * h + j] = Math.max(0, score + noise * others[t * h + j])
      }
    }
    all.addInput(x, rows, d)
    all.addActivated(activated, rows, h)
    return all
  }

  const options = { rank: 2, recall: 0.95, layer: 0, kernels: kernels() }
  it('of as many features as there are directions finds the active neurons and few others', () => {
    const { quality } = trainPredictor(record(0), options)
    expect(quality.active).toBeGreaterThan(0.1)
    expect(quality.active).toBeLessThan(0.6)
    expect(Math.abs(quality.recall - 0.95)).toBeLessThan(0.01)
    expect(quality.precision).toBeGreaterThan(0.97)
    // chosen · precision = active · recall, both being the neurons that are found.
    expect(quality.chosen * quality.precision).toBeCloseTo(quality.active * quality.recall, 10)
  })

  it('takes more neurons for active where they are harder to predict, at the recall asked for', () => {
    const [clean, noisy] = [trainPredictor(record(0), options), trainPredictor(record(1), options)]
    expect(Math.abs(noisy.quality.recall - 0.95)).toBeLessThan(0.01)
    expect(noisy.quality.precision).toBeLessThan(clean.quality.precision - 0.2)
    const { quality } = trainPredictor(record(1), { ...options, recall: 0.5 })
    expect(Math.abs(quality.recall - 0.5)).toBeLessThan(0.02)
    expect(quality.precision).toBeGreaterThan(noisy.quality.precision)
  })

  it('is read as it was written; another file is refused in one line', () => {
    const { predictor } = trainPredictor(record(0), options)
    const written = { rank: 2, layers: [predictor, predictor] }
    writePredictor(at('own.safetensors'), written)
    expect(readPredictor(at('own.safetensors'))).toEqual(written)
    writePredictor(at('other.safetensors'), {
      rank: 2,
      layers: [{ ...predictor, bias: new Float32Array(3) }],
    })
    expect(() => readPredictor(at('other.safetensors'))).toThrow(/PREDICTOR_INVALID|do not belong together/)
    expect(() => readPredictor(at('relu/model.safetensors'))).toThrow(
      expect.objectContaining({ code: 'PREDICTOR_INVALID' }),
    )
  })
})

describe('the cost of approximate decoding', () => {
  const tensors = tensorOf(randomTensors(base, 9))
  const engine = (reuse?: number) => new EngineModel(base, tensors, { ...(reuse !== undefined && { reuse }) })
  const tokens = Int32Array.from({ length: 65 }, (_, i) => (i * i + 40) % 90)

  it('is none where all neurons are computed, and counted by the definition where not', () => {
    // No window is as long as the text: its first γ tokens are all there is.
    const none = measureApproximate(engine(), engine(64), kernels(), tokens, 64)
    expect(none).toMatchObject({ divergence: 0, ffnBytes: 1, tokens: 64 })
    expect(none.perplexity).toBe(none.exactPerplexity)
    const some = measureApproximate(engine(), engine(2), kernels(), tokens, 64)
    const [exact, reused] = [engine().session(), engine(2).session()]
    let [nats, divergence] = [0, 0]
    for (let t = 0; t < 64; t++) {
      const [p, q] = [exact.step(tokens[t]), reused.step(tokens[t])].map(logits => {
        const total = logits.reduce((sum, value) => sum + Math.exp(value), 0)
        return Array.from(logits, value => Math.exp(value) / total)
      })
      nats -= Math.log(q[tokens[t + 1]]) / 64
      divergence += p.reduce((sum, value, i) => sum + value * Math.log(value / q[i]), 0) / 64
    }
    expect(some.divergence).toBeCloseTo(divergence, 4)
    expect(some.divergence).toBeGreaterThan(1e-3)
    expect(Math.log(some.perplexity)).toBeCloseTo(nats, 4)
    expect(some.ffnBytes).toBeLessThan(1)
  })
})

describe('the command', () => {
  const flags = (model: string, ...more: string[]) => [
    ...['sparsity', '--model', at(model), '--text', at('text.txt'), '--tokens', '512', '--context', '64'],
    ...['--measure-tokens', '128', '--out', at('lab'), ...more],
  ]

  it('trains a predictor, measures it and re-use, and generate runs with it and says so', async () => {
    const file = at('predictor.safetensors')
    const { code, stdout, stderr } = await flickerHere(
      flags('relu', '--train-predictor', file, '--reuse', '2,4', '--decode-tokens', '64', '--json'),
    )
    expect(code, stderr).toBe(0)
    const results = JSON.parse(stdout)
    expect(
      results.decoding.map(({ reuse, rank }: { reuse?: number; rank?: number }) => reuse ?? `rank ${rank}`),
    ).toEqual([2, 4, 'rank 4'])
    for (const { divergence, ffnBytes } of results.decoding) {
      expect(divergence).toBeGreaterThan(0)
      expect(ffnBytes).toBeGreaterThan(0)
    }
    expect(results.predictor.layers).toHaveLength(2)
    expect(results.trained).toBeUndefined()
    const page = fs.readFileSync(at('lab/report.html'), 'utf8')
    expect(page).toContain('predictor of rank 4')
    expect(page).not.toMatch(/NaN|undefined/)
    const generate = (...more: string[]) =>
      flickerHere(['generate', '--model', at('relu'), '--prompt', 'line 7', '--max-tokens', '9', ...more])
    for (const [flag, value, message] of [
      ['--predictor', file, 'a predictor of rank 4'],
      ['--reuse', '2', 'that the 2 before them used'],
    ]) {
      const approximate = await generate(flag, value, '--stats')
      expect(approximate.code, approximate.stderr).toBe(0)
      expect(approximate.stderr.match(/approximate: /g)).toHaveLength(2)
      expect(approximate.stderr).toContain(message)
      expect(JSON.parse((await generate(flag, value, '--json')).stdout).approximation).toContain(message)
    }
    expect((await generate('--stats')).stderr).not.toContain('approximate')
    expect((await load(at('relu'), { predictor: file })).approximation).toMatch(/^approximate: /)
  })

  it.each([
    ['a predictor for SiLU', flags('silu', '--train-predictor', at('no')), 'SELECTOR_ACTIVATION'],
    [
      'a rank above the width',
      flags('relu', '--train-predictor', at('no'), '--predictor-rank', '99'),
      'PREDICTOR_RANGE',
    ],
    ['recall 1', flags('relu', '--train-predictor', at('no'), '--predictor-recall', '1'), 'PREDICTOR_RANGE'],
    ['a rank without a predictor', flags('relu', '--predictor-rank', '9'), 'OPTION_CONFLICT'],
    ['a file that exists', flags('relu', '--train-predictor', at('text.txt')), 'DESTINATION_EXISTS'],
    [
      'a predictor that is none',
      ['generate', '--model', at('relu'), '--prompt', 'a', '--predictor', at('relu/model.safetensors')],
      'PREDICTOR_INVALID',
    ],
    [
      're-use of SiLU',
      ['generate', '--model', at('silu'), '--prompt', 'a', '--reuse', '4'],
      'SELECTOR_ACTIVATION',
    ],
  ])('refuses %s in one line and writes nothing', async (_, args, code) => {
    fs.rmSync(at('lab'), { recursive: true, force: true })
    const before = fs.readdirSync(cwd)
    const { code: exit, stderr, stdout } = await flickerHere(args)
    expect(exit, stderr).not.toBe(0)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).toContain(`[${code}]`)
    expect(stdout).toBe('')
    expect(fs.readdirSync(cwd)).toEqual(before)
  })
})
