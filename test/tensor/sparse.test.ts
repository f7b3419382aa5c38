// FFNs of which most neurons are exactly 0: sparse products give the loss and the gradients of dense ones up to the order of sums,
// and the same bits for any number of threads.

import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { availableKernels, defaultThreads, type Kernels, setThreads } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { Llama } from '../../src/nn/llama.js'
import { Tape } from '../../src/tensor/index.js'

afterAll(() => setThreads(defaultThreads()))

const config: ModelConfig = {
  ...{ hiddenSize: 24, intermediateSize: 150, numHiddenLayers: 2, numAttentionHeads: 2, numKeyValueHeads: 2 },
  ...{ vocabSize: 19, maxPositionEmbeddings: 40, rmsNormEps: 1e-5, ropeTheta: 10_000 },
  ...{ tieWordEmbeddings: true, ffn: 'gated', activation: 'relu' },
}
const tokens = Int32Array.from({ length: 80 }, (_, i) => (i * i + 5 * i) % 19)
const targets = Int32Array.from({ length: 80 }, (_, i) => (i * 3 + 1) % 19)

/** Which products a pass has called. */
function counted(kernels: Kernels) {
  const calls = { sparse: 0 }
  const sparseDots: Kernels['sparseDots'] = (...args) => {
    calls.sparse++
    kernels.sparseDots(...args)
  }
  return { calls, kernels: { ...kernels, sparseDots } }
}

function run(kernels: Kernels, activation: string, sparseProductsBelow: number | undefined, penalty = 0) {
  const dtype = kernels.backend === 'portable' ? 'f64' : 'f32'
  const model = Llama.initialize(config, 3, dtype)
  const watched = counted(kernels)
  const tape = new Tape(watched.kernels, { dtype })
  const draw = { seedLow: 1, seedHigh: 2, purpose: 3, step: 1, firstRow: 0 }
  const loss = model.loss(tape, tokens, targets, 40, {
    activation: parseActivation(activation),
    draw,
    sparseProductsBelow,
    ...(penalty > 0 && { penalty: { factor: penalty, observe: () => {} } }),
  })
  tape.backward(loss)
  const gradients = [...model.parameters].map(([name, { grad }]) => ({ name, grad: grad?.slice() }))
  return { loss: loss.data[0], gradients, calls: watched.calls.sparse }
}

// Inputs are normed and weights have a deviation of 0.02: pre-activations of about 0.1.
const activations = ['fatrelu:t=0.12', 'fatrelu:t=0.2', 'stocha:p=0.05', 'relu']
const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)

describe.each(backends)('sparse products, %s', (_, kernels) => {
  it.each(activations)('give the loss and the gradients of dense products: %s', activation => {
    for (const penalty of [0, 1e-3]) {
      const dense = run(kernels, activation, 0, penalty)
      const sparse = run(kernels, activation, 1, penalty)
      expect(dense.calls).toBe(0)
      // Forward and backward, in each of two layers.
      expect(sparse.calls).toBe(4)
      const tolerance = kernels.backend === 'portable' ? 1e-12 : 2e-5
      expect(Math.abs(sparse.loss / dense.loss - 1)).toBeLessThan(tolerance)
      for (const [i, { name, grad }] of sparse.gradients.entries()) {
        const expected = dense.gradients[i].grad
        expect(grad?.length, name).toBe(expected?.length)
        const largest = Math.max(...(expected ?? []).map(Math.abs))
        expect(largest, name).toBeGreaterThan(0)
        const worst = Math.max(
          ...(grad ?? []).map((value, k) => Math.abs(value - (expected?.[k] ?? Number.NaN))),
        )
        expect(worst, name).toBeLessThanOrEqual(tolerance * largest)
      }
    }
  })

  it('are taken where few neurons are active, and where an inactive one has no part in the gradient', () => {
    expect(run(kernels, 'fatrelu:t=0.2', undefined).calls).toBe(4)
    expect(run(kernels, 'relu', undefined).calls).toBe(0)
    // A surrogate derivative reaches inactive neurons, and SiLU has none.
    for (const activation of ['jumprelu', 'silu']) expect(run(kernels, activation, 1).calls).toBe(0)
  })

  it('give the same bits for any number of threads', () => {
    const results = [1, 2, 3].map(threads => {
      setThreads(threads)
      return run(kernels, 'fatrelu:t=0.12', 1)
    })
    for (const { loss, gradients } of results) {
      expect(loss).toBe(results[0].loss)
      expect(gradients).toEqual(results[0].gradients)
    }
  })
})
