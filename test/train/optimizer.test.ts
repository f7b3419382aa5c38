// AdamW against its definition (Loshchilov & Hutter 2019; Kingma & Ba 2015, algorithm 1), computed here in doubles.

import { describe, expect, it } from 'vitest'
import { kernels } from '../../src/kernels/index.js'
import { parameter } from '../../src/tensor/index.js'
import { AdamW } from '../../src/train/optimizer.js'

const options = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 0 }

/** One value under AdamW, with the gradients of its updates. */
function expected(start: number, gradients: readonly number[], lr: number, weightDecay: number): number {
  let [value, m, v] = [start, 0, 0]
  for (const [i, gradient] of gradients.entries()) {
    m = 0.9 * m + 0.1 * gradient
    v = 0.95 * v + 0.05 * gradient ** 2
    value -= lr * weightDecay * value
    value -= (lr * (m / (1 - 0.9 ** (i + 1)))) / (Math.sqrt(v / (1 - 0.95 ** (i + 1))) + 1e-8)
  }
  return value
}

function give(tensor: ReturnType<typeof parameter>, gradient: number): void {
  tensor.grad = new Float32Array(tensor.size).fill(gradient)
  tensor.hasGrad = true
}

describe('AdamW', () => {
  it('corrects the bias of each parameter by the number of its own updates', () => {
    const used = parameter(Float32Array.of(1), [1])
    const late = parameter(Float32Array.of(1), [1])
    const optimizer = new AdamW(
      kernels(),
      new Map([
        ['used', used],
        ['late', late],
      ]),
      options,
    )
    for (let step = 1; step <= 100; step++) {
      give(used, 0.5)
      optimizer.update(0.01, 1)
    }
    expect(late.data[0]).toBe(1)
    expect(used.data[0]).toBeCloseTo(expected(1, new Array(100).fill(0.5), 0.01, 0), 5)
    give(used, 0.5)
    give(late, 0.5)
    optimizer.update(0.01, 1)
    // The first update is the learning rate itself, whatever the gradient. By 101 updates it would be 0.446 of it.
    expect(late.data[0]).toBeCloseTo(1 - 0.01, 6)
    give(late, -0.2)
    optimizer.update(0.01, 1)
    expect(late.data[0]).toBeCloseTo(expected(1, [0.5, -0.2], 0.01, 0), 6)
    expect([...optimizer.updates]).toEqual([
      ['used', 101],
      ['late', 2],
    ])
  })

  it('decays matrices, but not norms and embeddings', () => {
    const named = (name: string, shape: number[]) => [name, parameter(Float32Array.of(1, 1), shape)] as const
    const parameters = new Map([
      named('model.layers.0.mlp.up_proj.weight', [1, 2]),
      named('model.norm.weight', [2]),
      named('model.embed_tokens.weight', [2, 1]),
    ])
    const optimizer = new AdamW(kernels(), parameters, options)
    for (const tensor of parameters.values()) give(tensor, 0.5)
    optimizer.update(0.01, 1)
    const [matrix, norm, embedding] = [...parameters.values()].map(({ data }) => data[0])
    expect(matrix).toBeCloseTo(expected(1, [0.5], 0.01, 0.1), 6)
    expect(norm).toBeCloseTo(expected(1, [0.5], 0.01, 0), 6)
    expect(embedding).toBeCloseTo(expected(1, [0.5], 0.01, 0), 6)
    expect(matrix).toBeLessThan(norm)
  })

  it('clips the global norm of the gradient, and returns what it was', () => {
    const parameters = new Map([
      ['a', parameter(Float32Array.of(0), [1])],
      ['b', parameter(Float32Array.of(0), [1])],
    ])
    const clipped = new AdamW(kernels(), parameters, { ...options, clip: 1, eps: 1 })
    const [a, b] = [...parameters.values()]
    give(a, 6)
    give(b, 8)
    // Two micro-batches: gradients are halved. The norm of (3, 4) is 5; clipped to 1 they are (0.6, 0.8).
    expect(clipped.update(0.1, 0.5)).toBeCloseTo(5, 6)
    expect(a.data[0]).toBeCloseTo((-0.1 * 0.6) / (0.6 + 1), 6)
    expect(b.data[0]).toBeCloseTo((-0.1 * 0.8) / (0.8 + 1), 6)
  })

  it('changes nothing when the gradient is not finite', () => {
    const tensor = parameter(Float32Array.of(1), [1])
    const optimizer = new AdamW(kernels(), new Map([['a', tensor]]), options)
    give(tensor, Number.NaN)
    expect(optimizer.update(0.01, 1)).toBeNaN()
    expect(tensor.data[0]).toBe(1)
    expect(optimizer.updates.get('a')).toBe(0)
  })
})
