// Activations of whole rows on the device, against their definition in double precision; top-k against sorting, where neurons
// are equal to the last that is kept, and where both zeros, infinities and large rows are among them.

import { expect, it } from 'vitest'
import { startParameters } from '../../../src/activations/activation.js'
import { parseActivation } from '../../../src/activations/index.js'
import { RowRunner } from '../../../src/activations/row-runner.js'
import { drawRow } from '../../../src/kernels/portable/draws.js'
import {
  activationNumbers,
  buffers,
  type CutTop,
  compilerOf,
  DeviceMemory,
  type FeedForwardShape,
  flagWords,
  type Gpu,
  LAYER_WORDS,
  MAP_FOR_READING,
  paddedColumns,
  ROW_ACTIVATION_ACCESS,
  rowActivationCode,
  wholeInput,
} from '../../../src/kernels/webgpu/index.js'
import { describeWithGpu } from '../../engine/device/with-gpu.js'
import { RandomInputs } from '../random-inputs.js'

const [count, layers, maxRows] = [1300, 2, 3]

const shape: FeedForwardShape = {
  ...{ gate: 'f32', up: 'f32', down: 'f32', width: 8, input: wholeInput(8) },
  ...{ count, layers, maxRows, skips: true, downBias: false, activatesUp: false, experts: null },
}

/** Two rows. The first has many equal values, both zeros among them; infinities stand at its ends. */
function inputs(): Float32Array[] {
  const random = new RandomInputs(Float32Array, 3)
  const coarse = new Float32Array(random.normal(count)).map(v => Math.round(4 * v) / 4)
  coarse[17] = -0
  coarse[5] = Number.POSITIVE_INFINITY
  coarse[count - 1] = Number.NEGATIVE_INFINITY
  return [coarse, new Float32Array(random.normal(count)).map(v => 3 * v + 0.5)]
}

/** Learned parameters some way from their start, where neighbors count for nothing. */
function parametersOf(name: string): Float64Array {
  return startParameters(parseActivation(name), count).map((value, i) => value + 0.05 * (((7 * i) % 6) - 2.5))
}

interface Found {
  readonly values: Float32Array
  /** Neurons whose bits are set. */
  readonly on: number[]
  /** Of layer 1. */
  readonly counted: number
}

async function onDevice(gpu: Gpu, name: string, rows: Float32Array[], top?: CutTop): Promise<Found[]> {
  const { device } = gpu
  const activation = parseActivation(name)
  const code = rowActivationCode(shape, {
    activation,
    purpose: draw.purpose,
    ofUp: false,
    counts: true,
    limits: null,
    top: top ?? null,
  })
  const kernel = await compilerOf(gpu).compile(code, ROW_ACTIVATION_ACCESS)
  const memory = new DeviceMemory(gpu)
  const values = new Float32Array(maxRows * paddedColumns(count))
  for (const [row, own] of rows.entries()) values.set(own, row * paddedColumns(count))
  const numbers = activationNumbers(activation, parametersOf(name), count)
  const layerNumbers = new Float32Array(LAYER_WORDS + numbers.length)
  layerNumbers[0] = 1
  layerNumbers.set(numbers, LAYER_WORDS)
  // The cut applies to the second row.
  const described = new Uint32Array(8 * maxRows)
  described[8 + 6] = 1
  const flagCount = maxRows * (layers + flagWords(count))
  const hidden = memory.buffer(values.byteLength)
  const flags = memory.buffer(4 * flagCount)
  const given = [values, layerNumbers, described].map(data => {
    const buffer = memory.buffer(data.byteLength)
    memory.write(buffer, 0, data)
    return buffer
  })
  const staging = memory.buffer(values.byteLength + 4 * flagCount, buffers.staging)
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(kernel.pipeline)
  pass.setBindGroup(0, kernel.bind([...given, hidden, flags]))
  pass.dispatchWorkgroups(1, rows.length)
  pass.end()
  encoder.copyBufferToBuffer(hidden, 0, staging, 0, values.byteLength)
  encoder.copyBufferToBuffer(flags, 0, staging, values.byteLength, 4 * flagCount)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(MAP_FOR_READING)
  const bytes = staging.getMappedRange().slice(0)
  memory.releaseAll()
  gpu.requireUsable()
  const words = new Uint32Array(bytes, values.byteLength)
  return rows.map((_, row) => {
    const at = layers * maxRows + row * flagWords(count)
    return {
      values: new Float32Array(bytes, 4 * row * paddedColumns(count), count),
      on: Array.from({ length: count }, (_, i) => i).filter(
        i => (words[at + (i >> 3)] & (1 << (i & 7))) !== 0,
      ),
      counted: words[maxRows + row],
    }
  })
}

/** What the first row draws: it is at position 0 of sequence 0 with seed 0, in layer 1. */
const draw = { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, layer: 1, firstRow: 0, rowsPerSample: 1000 }

/** f of a row in double precision. */
function defined(name: string, row: Float32Array): Float64Array {
  const activation = parseActivation(name)
  const runner = new RowRunner(activation.programs!)
  const out = new Float64Array(count)
  runner.begin(activation.settings, parametersOf(name), count)
  const draws = Array.from({ length: activation.drawChannels }, (_, channel) => {
    const own = new Float64Array(count)
    drawRow(draw, 0, count, own, activation.drawPer, channel)
    return own
  })
  runner.forward(row, 0, draws, out)
  return out
}

function expectConsistent({ values, on, counted }: Found): void {
  expect(on).toEqual([...values.keys()].filter(i => values[i] !== 0))
  expect(counted).toBe(on.length)
}

await describeWithGpu('activations of whole rows on the device', gpu => {
  it.each([
    ['topk:k=200', (v: number) => v],
    ['topk:k=0.3,by=magnitude,act=identity', Math.abs],
  ])('%s keeps the largest, and all that are equal to the last of them', async (name, score) => {
    const rows = inputs()
    const found = await onDevice(gpu, name, rows)
    const keep = name.includes('200') ? 200 : 390
    for (const [i, row] of rows.entries()) {
      const least = Array.from(row, score).sort((a, b) => b - a)[keep - 1]
      const kept = Array.from(row, v =>
        score(v) >= least ? (name.includes('identity') ? v : Math.max(v, 0)) : 0,
      )
      expect([...found[i].values]).toEqual(kept.map(v => (v === 0 ? expect.closeTo(0) : v)))
      expectConsistent(found[i])
    }
    // Some are equal to the last.
    expect(found[0].on.length).toBeGreaterThan(keep)
  })

  it.each(['stat-topk:k=0.1', 'polynorm', 'tmaf:matrix=tridiagonal', 'mix:topk:k=0.2@0.5,silu@0.5'])(
    '%s is what it is defined as',
    async name => {
      const [, row] = inputs()
      const [found] = await onDevice(gpu, name, [row])
      const expected = defined(name, row)
      const largest = Math.max(...expected.map(Math.abs))
      for (const [i, value] of found.values.entries()) {
        expect(Math.abs(value - expected[i])).toBeLessThan(3e-6 * largest)
      }
      expectConsistent(found)
    },
  )

  it('a cut keeps the largest of what is left, in rows that it applies to', async () => {
    const [, row] = inputs()
    const [whole, cut] = await onDevice(gpu, 'silu', [row, row], { keep: 100, scaleAt: null })
    const least = Array.from(whole.values, Math.abs).sort((a, b) => b - a)[99]
    expect(whole.on).toHaveLength(count)
    expect([...cut.values]).toEqual(Array.from(whole.values, v => (Math.abs(v) >= least ? v : 0)))
    expectConsistent(cut)
  })
})
