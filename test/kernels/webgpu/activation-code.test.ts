// Every entry of the catalog that the WebGPU backend computes, on the device, against the entry's own function in double
// precision and the CPU's draws.

import { expect, it } from 'vitest'
import { parameterCount, startParameters } from '../../../src/activations/activation.js'
import { listActivations, parseActivation } from '../../../src/activations/index.js'
import { drawRow } from '../../../src/kernels/portable/draws.js'
import {
  activationCode,
  activationNumbers,
  buffers,
  compilerOf,
  type Gpu,
  LAYER_WORDS,
  MAP_FOR_READING,
} from '../../../src/kernels/webgpu/index.js'
import { ROW_STRUCT } from '../../../src/kernels/webgpu/matvec.js'
import { describeWithGpu } from '../../engine/device/with-gpu.js'

const width = 512
const inputs = Float32Array.from({ length: width }, (_, i) => ((i - 255.5) / 256) ** 3 * 12)
const draw = { seedLow: 11, seedHigh: 3, purpose: 4, step: 5, layer: 2, firstRow: 9, rowsPerSample: 1000 }

function program(name: string): string {
  return `${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> layerNumbers: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
${activationCode(parseActivation(name), width, draw.purpose).functions}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  out[id.x] = activate(x[id.x], id.x, rows[0]);
}`
}

async function onDevice(gpu: Gpu, name: string): Promise<Float32Array> {
  const { device } = gpu
  const activation = parseActivation(name)
  const kernel = await compilerOf(gpu).compile(program(name), ['read', 'read', 'read', 'write'])
  const own = activationNumbers(activation, startParameters(activation, width), width)
  const numbers = [draw.layer, ...Array(LAYER_WORDS - 1).fill(0), ...own]
  const row = Uint32Array.of(0, draw.firstRow, draw.seedLow, draw.seedHigh, draw.step, 0, 0, 0)
  const made = [inputs, Float32Array.from(numbers), row, new Float32Array(width)].map(values => {
    const buffer = device.createBuffer({ size: Math.max(16, values.byteLength), usage: buffers.storage })
    device.queue.writeBuffer(buffer, 0, values.buffer as ArrayBuffer)
    return buffer
  })
  const staging = device.createBuffer({ size: 4 * width, usage: buffers.staging })
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(kernel.pipeline)
  pass.setBindGroup(0, kernel.bind(made))
  pass.dispatchWorkgroups(width / 64)
  pass.end()
  encoder.copyBufferToBuffer(made[3], 0, staging, 0, 4 * width)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(MAP_FOR_READING)
  const result = new Float32Array(staging.getMappedRange().slice(0))
  for (const buffer of [...made, staging]) buffer.destroy()
  gpu.requireUsable()
  return result
}

const elementwise = listActivations()
  .map(({ name }) => name)
  .filter(name => name !== 'mix' && !parseActivation(name).rowwise)
  .concat(
    'mix:relu@0.3,gelu@0.7',
    'stocha:p=0.3,positive=silu',
    'stocha:p=0.4,per=neuron',
    'stocha:p=0.4,per=token',
  )

/** What a value may be off by, as a share of x: WGSL asks of sines no more than 2⁻¹¹. */
const sine = (name: string) => (name === 'snake' ? 2e-3 : 1e-6)

await describeWithGpu('activations on the device', gpu => {
  it.each(elementwise)('%s', async name => {
    const activation = parseActivation(name)
    const channels = Math.max(1, activation.drawChannels)
    const draws = Array.from({ length: channels }, (_, channel) => {
      const row = new Float64Array(width)
      if (activation.draws) drawRow(draw, 0, width, row, activation.drawPer, channel)
      return row
    })
    const own = parameterCount(activation, 1)
    const actual = await onDevice(gpu, name)
    const wrong: string[] = []
    for (let i = 0; i < width; i++) {
      const given = draws.map(row => row[i])
      const expected = activation.forward(inputs[i], given, startParameters(activation, 1).slice(0, own))
      const allowed = 2e-4 * Math.abs(expected) + sine(name) * Math.abs(inputs[i])
      // Where the exact value is below what f32 can tell from 0, 0 is right.
      const zeroFits = expected === 0 ? actual[i] === 0 : actual[i] !== 0 || Math.abs(expected) <= allowed
      if (!(Math.abs(actual[i] - expected) <= allowed) || !zeroFits) {
        wrong.push(`f(${inputs[i]}) = ${actual[i]}, not ${expected}`)
      }
    }
    expect(wrong.slice(0, 3)).toEqual([])
  })
})
