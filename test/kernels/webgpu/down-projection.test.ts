// The second kernel of an FFN alone, on the device: sums over neurons, cut in every way that a device's limits may ask for,
// against sums in double precision.

import { expect, it } from 'vitest'
import { allocateWeights, readRow, storeRow, weightBytes } from '../../../src/kernels/index.js'
import {
  buffers,
  compilerOf,
  DeviceMemory,
  DOWN_ACCESS,
  downCode,
  downPlan,
  type FeedForwardShape,
  flagWords,
  type Gpu,
  MAP_FOR_READING,
  paddedColumns,
  rangesOf,
  wholeInput,
} from '../../../src/kernels/webgpu/index.js'
import { bitsOf, relativeDifference } from '../../engine/bits.js'
import { describeWithGpu } from '../../engine/device/with-gpu.js'
import { RandomInputs } from '../random-inputs.js'

const [width, count, maxRows, layers, rows] = [52, 300, 3, 2, 2]
const types = ['f32', 'f16', 'q8_0'] as const
type Type = (typeof types)[number]

function shapeOf(down: Type, skips: boolean): FeedForwardShape {
  return {
    gate: 'f32',
    up: 'f32',
    down,
    width,
    input: wholeInput(width),
    count,
    layers,
    maxRows,
    skips,
    downBias: false,
    activatesUp: false,
    experts: null,
  }
}

/** Two rows of a pass: hidden values of which about two thirds are 0, columns after up rows, and what x is before. */
function inputs(type: Type) {
  const random = new RandomInputs(Float32Array, 5)
  const hidden = Array.from({ length: rows }, () =>
    new Float32Array(random.normal(count)).map(v => (v > 0.4 ? v : 0)),
  )
  // A neuron whose bit is not set must not count, whatever its value is; here those of one block.
  const active = hidden.map(values => Array.from(values, (v, n) => v !== 0 && !(n >= 64 && n < 72)))
  const stored = allocateWeights(type, 2 * count, width)
  const columns: Float32Array[] = []
  for (let n = 0; n < count; n++) {
    storeRow(stored, 2 * n, new Float32Array(random.normal(width)))
    storeRow(stored, 2 * n + 1, new Float32Array(random.normal(width)))
    const column = new Float32Array(width)
    readRow(stored, 2 * n + 1, column)
    columns.push(column)
  }
  const before = Array.from({ length: rows }, () => new Float32Array(random.normal(width)))
  return { hidden, active, stored, columns, before }
}

async function onDevice(
  gpu: Gpu,
  type: Type,
  skips: boolean,
  limits: { workgroup?: Gpu['workgroup']; ahead?: number; rowsPerPart?: number },
): Promise<Float32Array[]> {
  const { device } = gpu
  const { hidden, active, stored, before } = inputs(type)
  const shape = shapeOf(type, skips)
  const on = { workgroup: limits.workgroup ?? gpu.workgroup, info: { ...gpu.info, ahead: limits.ahead ?? 4 } }
  const memory = new DeviceMemory(gpu)
  const bytes = weightBytes(type, width)
  const matrix = memory.uploadTiles(
    stored,
    { rows: count, columns: width },
    { stride: 2 * bytes, offset: bytes },
    limits.rowsPerPart === undefined ? undefined : rangesOf(count, limits.rowsPerPart),
  )
  const values = new Float32Array(maxRows * paddedColumns(count))
  const flags = new Uint32Array(maxRows * (layers + flagWords(count)))
  const x = new Float32Array(maxRows * paddedColumns(width))
  for (let row = 0; row < rows; row++) {
    values.set(hidden[row], row * paddedColumns(count))
    x.set(before[row], row * paddedColumns(width))
    for (const [n, bit] of active[row].entries())
      if (bit) flags[layers * maxRows + row * flagWords(count) + (n >> 3)] |= 1 << (n & 7)
  }
  const [hiddenBuffer, flagBuffer, xBuffer] = [values, flags, x].map(numbers => {
    const buffer = memory.buffer(numbers.byteLength)
    memory.write(buffer, 0, numbers)
    return buffer
  })
  const staging = memory.buffer(x.byteLength, buffers.staging)
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  for (const part of matrix.parts) {
    const constants = { FIRST: part.first, COUNT: part.count }
    const kernel = await compilerOf(gpu).compile(downCode(shape, on), DOWN_ACCESS, constants)
    pass.setPipeline(kernel.pipeline)
    pass.setBindGroup(0, kernel.bind([part.buffer, hiddenBuffer, flagBuffer, flagBuffer, xBuffer]))
    pass.dispatchWorkgroups(downPlan(shape, on).workgroups, rows)
  }
  pass.end()
  encoder.copyBufferToBuffer(xBuffer, 0, staging, 0, x.byteLength)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(MAP_FOR_READING)
  const out = new Float32Array(staging.getMappedRange().slice(0))
  memory.releaseAll()
  gpu.requireUsable()
  return before.map((_, row) => out.slice(row * paddedColumns(width), row * paddedColumns(width) + width))
}

/** x + Σ of the active neurons' hidden value · column, in double precision. */
function expected(type: Type): number[][] {
  const { hidden, active, columns, before } = inputs(type)
  return before.map((x, row) =>
    Array.from(x, (start, c) =>
      columns.reduce((sum, column, n) => sum + (active[row][n] ? hidden[row][n] * column[c] : 0), start),
    ),
  )
}

const cuts = {
  'as the device allows': {},
  // Four slots of 80 neurons, whose bits are three words; two rounds of handing sums over are one.
  'few slots of many neurons': { workgroup: { invocations: 8, bytes: 4096 }, ahead: 3 },
  'several bindings': { rowsPerPart: 96, ahead: 2 },
}

/** Without a GPU each shader takes seconds to compile. */
const all = Object.keys(cuts) as (keyof typeof cuts)[]
const some: [Type, (keyof typeof cuts)[]][] =
  process.env.FLICKER_FULL === undefined ? [['f32', all]] : types.map(type => [type, all])

await describeWithGpu('the down projection on the device', gpu => {
  it.each(some)(
    'of %s is the sum over active neurons, and the same bits with all read',
    async (type, own) => {
      const sums = expected(type)
      for (const cut of own) {
        const skipped = await onDevice(gpu, type, true, cuts[cut])
        const dense = await onDevice(gpu, type, false, cuts[cut])
        for (const [row, values] of skipped.entries()) {
          expect(relativeDifference(values, sums[row])).toBeLessThan(1e-6)
          expect(bitsOf(dense[row])).toEqual(bitsOf(values))
        }
      }
    },
  )
})
