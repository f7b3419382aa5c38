// Which random numbers a stochastic activation draws: a function of (seed, purpose, step, layer, row, neuron).

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/catalog.js'
import type { Draw } from '../../../src/kernels/index.js'
import { portableKernels } from '../../../src/kernels/index.js'
import { Purpose, philox4x32 } from '../../../src/kernels/philox.js'
import { RandomInputs, someDraw } from '../random-inputs.js'

const kernels = portableKernels()

/** Where `stocha:p` takes SiLU, as 1 and 0, over (rows, width). */
function mask(p: number, rows: number, width: number, draw: Draw): Uint8Array {
  const x = new Float64Array(rows * width).fill(-1)
  const out = new Float64Array(rows * width)
  kernels.activation(parseActivation(`stocha:p=${p}`), x, out, rows, width, draw)
  return Uint8Array.from(out, value => (value === 0 ? 0 : 1))
}

describe('draws of stochastic activations', () => {
  it('element (row, neuron) uses the word of Philox that the kernel interface names', () => {
    const [rows, width, p] = [3, 11, 0.5]
    const chosen = mask(p, rows, width, someDraw)
    const words = new Uint32Array(4)
    for (let row = 0; row < rows; row++) {
      for (let neuron = 0; neuron < width; neuron++) {
        philox4x32(
          neuron >> 2,
          someDraw.firstRow + row,
          someDraw.step,
          (someDraw.purpose << 16) | someDraw.layer,
          someDraw.seedLow,
          someDraw.seedHigh,
          words,
        )
        expect(chosen[row * width + neuron]).toBe(words[neuron & 3] / 2 ** 32 < p ? 1 : 0)
      }
    }
  })

  it('rows computed at once equal rows computed in two calls, forward and backward', () => {
    const [rows, width, split] = [9, 21, 4]
    const act = parseActivation('stocha:p=0.6')
    const random = new RandomInputs(Float32Array, 1)
    const x = random.normal(rows * width)
    const up = random.normal(rows * width)
    const dOut = random.normal(rows * width)
    const compute = (parts: [from: number, to: number][]): Float32Array[] => {
      const buffers = Array.from({ length: 5 }, () => new Float32Array(rows * width))
      for (const [from, to] of parts) {
        const part = (buffer: Float32Array): Float32Array => buffer.subarray(from * width, to * width)
        const [out, gated, dX, dGate, dUp] = buffers.map(part)
        const draw = { ...someDraw, firstRow: someDraw.firstRow + from }
        const inputs = [x, up, dOut].map(buffer => part(buffer as Float32Array))
        kernels.activation(act, inputs[0], out, to - from, width, draw)
        kernels.gate(act, inputs[0], inputs[1], gated, to - from, width, draw)
        kernels.activationBackward(act, inputs[2], inputs[0], dX, to - from, width, draw)
        kernels.gateBackward(act, inputs[2], inputs[0], inputs[1], dGate, dUp, to - from, width, draw)
      }
      return buffers
    }
    expect(
      compute([
        [0, split],
        [split, rows],
      ]),
    ).toEqual(compute([[0, rows]]))
  })

  const others: [string, Partial<Draw>][] = [
    ['seed', { seedLow: someDraw.seedLow + 1 }],
    ['high half of the seed', { seedHigh: someDraw.seedHigh + 1 }],
    ['purpose', { purpose: Purpose.decode }],
    ['step', { step: someDraw.step + 1 }],
    ['layer', { layer: someDraw.layer + 1 }],
    ['row', { firstRow: someDraw.firstRow + 100 }],
  ]
  it.each(others)('another %s gives an independent mask: agreement within 5 sigma of chance', (_, other) => {
    const [rows, width, p] = [100, 400, 0.7]
    const n = rows * width
    const one = mask(p, rows, width, someDraw)
    const two = mask(p, rows, width, { ...someDraw, ...other })
    const agreement = one.reduce((count, bit, i) => count + (bit === two[i] ? 1 : 0), 0) / n
    const chance = p * p + (1 - p) * (1 - p)
    expect(Math.abs(agreement - chance)).toBeLessThan(5 * Math.sqrt((chance * (1 - chance)) / n))
  })

  it('each row and each neuron is drawn with probability p: chi-square below its 1e-6 quantile', () => {
    const [rows, width, p] = [250, 250, 0.3]
    const chosen = mask(p, rows, width, someDraw)
    const perRow = new Float64Array(rows)
    const perNeuron = new Float64Array(width)
    chosen.forEach((bit, at) => {
      perRow[Math.floor(at / width)] += bit
      perNeuron[at % width] += bit
    })
    for (const counts of [perRow, perNeuron]) {
      const expected = 250 * p
      const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / (expected * (1 - p)), 0)
      // 250 degrees of freedom: mean 250, and 250 + 4.75·√500 + a little for the skew.
      expect(chiSquare).toBeLessThan(370)
    }
  })

  it('neighboring neurons and rows are drawn independently: correlation within 5 sigma', () => {
    const [rows, width, p] = [200, 256, 0.5]
    const chosen = mask(p, rows, width, someDraw)
    for (const lag of [1, 2, 3, 4, 8, width]) {
      const n = chosen.length - lag
      let product = 0
      for (let i = 0; i < n; i++) product += (chosen[i] - p) * (chosen[i + lag] - p)
      expect(Math.abs(product / n / (p * (1 - p)))).toBeLessThan(5 / Math.sqrt(n))
    }
  })

  it('the fraction of exact zeros on standard normal inputs is (1 − p)/2, within 5 sigma', () => {
    const [rows, width] = [100, 500]
    const n = rows * width
    const x = new RandomInputs(Float32Array, 2).normal(n)
    for (const p of [0, 0.3, 0.7, 1]) {
      const out = new Float32Array(n)
      kernels.activation(parseActivation(`stocha:p=${p}`), x, out, rows, width, someDraw)
      const share = (1 - p) / 2
      const bound = 5 * Math.sqrt((share * (1 - share)) / n)
      expect(Math.abs(kernels.countZeros(out, n) / n - share)).toBeLessThanOrEqual(bound)
    }
  })

  it('the mean over many draws is p·SiLU(x) for x < 0, within 5 sigma', () => {
    const [p, x, n] = [0.7, -0.5, 100_000]
    const out = new Float64Array(n)
    kernels.activation(
      parseActivation(`stocha:p=${p}`),
      new Float64Array(n).fill(x),
      out,
      100,
      n / 100,
      someDraw,
    )
    const silu = x / (1 + Math.exp(-x))
    expect(silu).toBeCloseTo(-0.18877, 6)
    const sigma = Math.abs(silu) * Math.sqrt((p * (1 - p)) / n)
    expect(Math.abs(kernels.sum(out, n) / n - p * silu)).toBeLessThan(5 * sigma)
  })
})
