// Metrics for other programs: the files are read here by readers of their own, after the formats' definitions.

import fs from 'node:fs'
import path from 'node:path'
import { parse } from 'csv-parse/sync'
import { afterAll, describe, expect, it } from 'vitest'
import { train } from '../../src/train/index.js'
import type { Metrics } from '../../src/train/metrics.js'
import { exportMetrics } from '../../src/train/metrics-export.js'
import { crc32c } from '../../src/train/tensorboard.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { tinyRun } from './tiny-run.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))

const step = (n: number): Metrics => ({
  ...{ kind: 'step', step: n, loss: 1.5 * n, learningRate: 0.25, gradNorm: 2, seconds: 0.5 },
  activation: 'stocha:p=0.3,positive=silu',
})
const evaluation: Metrics = {
  ...{ kind: 'evaluation', step: 300, loss: 4.5, perplexity: 90, bitsPerByte: 2.5, activation: 'relu' },
  ...{ sparsity: [0.5, 0.75], deadNeurons: [3, 4], drawnPer: null, tokens: 10, sample: null },
}

describe('CRC-32C', () => {
  it.each([
    // RFC 3720, B.4, and the check value of the catalog of parametrized CRC algorithms.
    ['123456789', 0xe3069283],
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ])('has the published values: %o', (bytes, expected) => {
    expect(crc32c(Buffer.from(bytes))).toBe(expected)
  })
})

/** Fields of a message of protocol buffers, by number. */
function fields(bytes: Buffer): Map<number, (Buffer | number)[]> {
  const found = new Map<number, (Buffer | number)[]>()
  let at = 0
  const varint = () => {
    let [value, factor] = [0, 1]
    for (;;) {
      const byte = bytes[at++]
      value += (byte & 0x7f) * factor
      factor *= 128
      if (byte < 0x80) return value
    }
  }
  const take = (length: number) => {
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const key = varint()
    const [number, kind] = [key >> 3, key & 7]
    let value: Buffer | number
    if (kind === 0) value = varint()
    else if (kind === 1) value = take(8).readDoubleLE()
    else if (kind === 5) value = take(4).readFloatLE()
    else value = take(varint())
    found.set(number, [...(found.get(number) ?? []), value])
  }
  return found
}

/** Data of a TFRecord file; throws where a checksum is wrong. */
function records(bytes: Buffer): Buffer[] {
  const unmasked = (value: number) => {
    const rotated = (value - 0xa282ead8) >>> 0
    return ((rotated >>> 17) | (rotated << 15)) >>> 0
  }
  const all: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at))
    const data = bytes.subarray(at + 12, at + 12 + length)
    expect(unmasked(bytes.readUInt32LE(at + 8))).toBe(crc32c(bytes.subarray(at, at + 8)))
    expect(unmasked(bytes.readUInt32LE(at + 12 + length))).toBe(crc32c(data))
    all.push(data)
    at += 16 + length
  }
  return all
}

describe('an event file', () => {
  it('has a version, then the scalars of each step', () => {
    const append = exportMetrics('tensorboard', directory, [step(1), step(299)])
    append(evaluation)
    const [name] = fs.readdirSync(directory).filter(file => /^events\.out\.tfevents\./.test(file))
    const [version, ...events] = records(fs.readFileSync(path.join(directory, name))).map(fields)
    expect(version.get(3)?.map(String)).toEqual(['brain.Event:2'])
    const scalars = events.map(event => {
      const summary = fields(event.get(5)?.[0] as Buffer)
      const values = (summary.get(1) as Buffer[]).map(fields)
      return [
        event.get(2)?.[0],
        Object.fromEntries(values.map(value => [String(value.get(1)?.[0]), value.get(2)?.[0]])),
      ]
    })
    const train = { 'train/learning_rate': 0.25, 'train/grad_norm': 2, 'train/seconds': 0.5 }
    expect(scalars).toEqual([
      [1, { 'train/loss': 1.5, ...train }],
      [299, { 'train/loss': 448.5, ...train }],
      [
        300,
        {
          ...{
            'heldout/loss': 4.5,
            'heldout/bits_per_byte': 2.5,
            'heldout/zeros': 0.625,
            'heldout/dead_neurons': 7,
          },
          ...{ 'zeros/layer_0': 0.5, 'zeros/layer_1': 0.75 },
        },
      ],
    ])
    const times = events.map(event => event.get(1)?.[0] as number)
    expect(times[1] - times[0]).toBeCloseTo(0.5, 3)
    expect(Math.abs(times[2] - Date.now() / 1000)).toBeLessThan(60)
  })
})

describe('metrics.csv', () => {
  it('has a row per line, and is written again from what a resumed run has', () => {
    exportMetrics('csv', directory, [step(1)])(evaluation)
    exportMetrics('csv', directory, [step(1)])(step(2))
    const rows = parse(fs.readFileSync(path.join(directory, 'metrics.csv')), { columns: true }) as Record<
      string,
      string
    >[]
    expect(rows).toMatchObject([
      { step: '1', train_loss: '1.5', activation: 'stocha:p=0.3,positive=silu', heldout_loss: '' },
      { step: '2', train_loss: '3' },
    ])
  })
})

describe('a run', () => {
  it('writes both beside its log, and samples at each measurement, without another bit of it changing', async () => {
    const plain = await train(tinyRun(path.join(directory, 'plain')))
    const logged = path.join(directory, 'logged')
    const options = { log: ['csv', 'tensorboard'] as const, sampleTokens: 4 }
    const stopped = new AbortController()
    const halfway = (progress: { step: number }) => {
      if (progress.step === 12) stopped.abort()
    }
    await expect(
      train(tinyRun(logged, { ...options, signal: stopped.signal, onProgress: halfway })),
    ).rejects.toMatchObject({ code: 'INTERRUPTED' })
    const resumed = await train(tinyRun(logged, options))
    expect(resumed.evaluations).toEqual(plain.evaluations)
    const lines = fs.readFileSync(path.join(logged, 'metrics.jsonl'), 'utf8').trim().split('\n')
    expect(fs.readFileSync(path.join(logged, 'metrics.csv'), 'utf8').trim().split('\n')).toHaveLength(
      lines.length + 1,
    )
    const events = fs.readFileSync(path.join(logged, 'events.out.tfevents.0000000000.flicker'))
    expect(records(events)).toHaveLength(lines.length + 1)
    const samples = fs.readFileSync(path.join(logged, 'samples.jsonl'), 'utf8').trim().split('\n')
    const measured = lines.map(line => JSON.parse(line)).filter(({ kind }) => kind === 'evaluation')
    expect(samples.map(line => JSON.parse(line).step)).toEqual(measured.map(({ step }) => step))
    const { prompt, text } = JSON.parse(samples[0])
    expect(Buffer.from(prompt)).toHaveLength(12)
    expect(text.length).toBeGreaterThan(0)
  })
})
