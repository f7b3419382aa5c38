// Every backward kernel of the portable backend in f64 against central finite differences of its forward.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/catalog.js'
import type { AttentionScores, Floats } from '../../../src/kernels/index.js'
import { portableKernels } from '../../../src/kernels/index.js'
import { RandomInputs, someDraw } from '../random-inputs.js'

const kernels = portableKernels()
const STEP = 1e-5
/** Truncation (STEP² times a third derivative) and rounding (1e-16 / STEP) of a central difference, with room. */
const TOLERANCE = 1e-7

/** What a gradient buffer holds before the call; backward kernels must add to it. */
const BEFORE = 0.5

/**
 * `forward` fills and returns an output from `inputs`; `backward` receives a random dOut and one gradient buffer
 * per input. Each gradient must be BEFORE + Σ dOut · ∂output/∂input.
 */
function expectGradients(
  inputs: Floats[],
  forward: () => Floats,
  backward: (dOut: Floats, gradients: Floats[]) => void,
  kind: 'adds' | 'overwrites' = 'adds',
): void {
  const before = kind === 'adds' ? BEFORE : 0
  const dOut = Float64Array.from(new RandomInputs(Float64Array, 99).normal(forward().length))
  const gradients = inputs.map(input => new Float64Array(input.length).fill(BEFORE))
  backward(dOut, gradients)
  const objective = (): number => {
    const output = forward()
    return dOut.reduce((total, weight, i) => total + weight * output[i], 0)
  }
  inputs.forEach((input, which) => {
    for (let i = 0; i < input.length; i++) {
      const value = input[i]
      input[i] = value + STEP
      const above = objective()
      input[i] = value - STEP
      const below = objective()
      input[i] = value
      const expected = (above - below) / (2 * STEP)
      expect(Math.abs(gradients[which][i] - before - expected)).toBeLessThan(
        TOLERANCE * (1 + Math.abs(expected)),
      )
    }
  })
}

describe('gradients are those of the forward pass', () => {
  it.each([
    [1, 1],
    [3, 5],
    [2, 16],
  ])('rmsNorm %d×%d', (rows, width) => {
    const random = new RandomInputs(Float64Array, 1)
    const x = random.normal(rows * width)
    const weight = random.normal(width, { mean: 1, std: 0.3 })
    const rstd = new Float64Array(rows)
    const out = new Float64Array(rows * width)
    const forward = (): Floats => {
      kernels.rmsNorm(x, weight, out, rstd, rows, width, 1e-2)
      return out
    }
    expectGradients([x, weight], forward, (dOut, [dX, dWeight]) => {
      forward()
      kernels.rmsNormBackward(dOut, x, weight, rstd, dX, dWeight, rows, width)
    })
  })

  it.each([
    [1, 2],
    [3, 5],
    [2, 16],
  ])('layerNorm %d×%d', (rows, width) => {
    const random = new RandomInputs(Float64Array, 1)
    const x = random.normal(rows * width)
    const weight = random.normal(width, { mean: 1, std: 0.3 })
    const bias = random.normal(width)
    const statistics = new Float64Array(2 * rows)
    const out = new Float64Array(rows * width)
    const forward = (): Floats => {
      kernels.layerNorm(x, weight, bias, out, statistics, rows, width, 1e-2)
      return out
    }
    expectGradients([x, weight, bias], forward, (dOut, [dX, dWeight, dBias]) => {
      forward()
      kernels.layerNormBackward(dOut, x, weight, statistics, dX, dWeight, dBias, rows, width)
    })
  })

  it.each([
    [1, 1, 1, 2],
    [6, 3, 2, 6],
  ])('rope: %d rows, sequences of %d, %d heads of %d', (rows, seq, heads, headDim) => {
    const random = new RandomInputs(Float64Array, 2)
    const x = random.normal(rows * heads * headDim)
    const { cos, sin } = random.angles(seq, headDim / 2)
    const out = new Float64Array(x.length)
    const forward = (): Floats => {
      kernels.rope(x, cos, sin, out, rows, seq, heads, headDim)
      return out
    }
    expectGradients(
      [x],
      forward,
      (dOut, [dX]) => {
        kernels.ropeBackward(dOut, cos, sin, dX, rows, seq, heads, headDim)
      },
      'overwrites',
    )
  })

  it.each([
    [1, 1, 1, 1, 1],
    [2, 5, 4, 2, 3],
    [1, 7, 3, 1, 4],
    [1, 67, 2, 1, 2],
    [2, 5, 4, 2, 3, { scale: 1.3 }],
    [1, 7, 2, 1, 4, { softcap: 0.8 }],
    [1, 70, 2, 1, 2, { window: 3 }],
    [1, 9, 1, 1, 4, { window: 1 }],
    [1, 70, 1, 1, 2, { window: 66, softcap: 1.5, scale: 0.6 }],
  ] as const)(
    'attention: batch %d, sequence %d, %d heads on %d key heads of %d %o',
    (batch, seq, heads, kvHeads, headDim, scores: AttentionScores = {}) => {
      const shape = { batch, seq, heads, kvHeads, headDim, ...scores }
      const random = new RandomInputs(Float64Array, 3)
      const q = random.normal(batch * seq * heads * headDim)
      const k = random.normal(batch * seq * kvHeads * headDim)
      const v = random.normal(batch * seq * kvHeads * headDim)
      const out = new Float64Array(q.length)
      const lse = new Float64Array(batch * seq * heads)
      const forward = (): Floats => {
        kernels.attention(q, k, v, out, lse, shape)
        return out
      }
      expectGradients(
        [q, k, v],
        forward,
        (dOut, [dQ, dK, dV]) => {
          forward()
          kernels.attentionBackward(dOut, q, k, v, out, lse, dQ, dK, dV, shape)
        },
        'overwrites',
      )
    },
  )

  it.each([
    'relu',
    'silu',
    'stocha:p=0.7',
    'stocha:p=0.3,positive=silu',
    'stocha:p=0.5,positive=drawn',
    'stoch',
  ])('activation and gate with %s, the draws held fixed', spec => {
    const act = parseActivation(spec)
    for (const [rows, width] of [
      [1, 1],
      [3, 7],
      [5, 18],
    ]) {
      const size = rows * width
      const random = new RandomInputs(Float64Array, 4)
      // Away from the kink at 0, where the two sides of the difference would see different branches.
      const x = random.normal(size).map(value => value + Math.sign(value) * 0.01)
      const up = random.normal(size)
      const out = new Float64Array(size)
      expectGradients(
        [x],
        () => {
          kernels.activation(act, x, out, rows, width, someDraw)
          return out
        },
        (dOut, [dX]) => kernels.activationBackward(act, dOut, x, dX, rows, width, someDraw),
        'overwrites',
      )
      expectGradients(
        [x, up],
        () => {
          kernels.gate(act, x, up, out, rows, width, someDraw)
          return out
        },
        (dOut, [dGate, dUp]) => kernels.gateBackward(act, dOut, x, up, dGate, dUp, rows, width, someDraw),
        'overwrites',
      )
    }
  })

  it('crossEntropy, with a skipped row and a scale', () => {
    const [rows, vocab, scale] = [3, 7, 0.25]
    const logits = new RandomInputs(Float64Array, 5).normal(rows * vocab)
    const targets = Int32Array.of(6, -1, 0)
    const losses = new Float64Array(rows)
    const dLogits = new Float64Array(rows * vocab)
    kernels.crossEntropy(logits, targets, losses, dLogits, rows, vocab, scale)
    const total = new Float64Array(1)
    expectGradients(
      [logits],
      () => {
        kernels.crossEntropy(logits, targets, losses, null, rows, vocab, scale)
        total[0] = scale * losses.reduce((sum, loss) => sum + loss, 0)
        return total
      },
      // This gradient is overwritten and already scaled; the objective's own dOut is multiplied in here.
      (dOut, [gradient]) => kernels.axpy(dOut[0], dLogits, gradient, rows * vocab),
    )
  })

  it('embedding', () => {
    const [rows, vocab, width] = [5, 4, 3]
    const tokens = Int32Array.of(2, 0, 2, 3, 2)
    const table = new RandomInputs(Float64Array, 6).normal(vocab * width)
    const out = new Float64Array(rows * width)
    expectGradients(
      [table],
      () => {
        kernels.embedding(tokens, table, out, rows, width)
        return out
      },
      (dOut, [dTable]) => kernels.embeddingBackward(tokens, dOut, dTable, rows, width),
    )
  })

  it('a linear map with bias, put together from matmul, addBias and columnSums', () => {
    const [rows, inner, outer] = [4, 5, 3]
    const random = new RandomInputs(Float64Array, 7)
    const x = random.normal(rows * inner)
    const weight = random.normal(outer * inner)
    const bias = random.normal(outer)
    const out = new Float64Array(rows * outer)
    expectGradients(
      [x, weight, bias],
      () => {
        kernels.matmul(x, weight, out, rows, outer, inner, false, true, false)
        kernels.addBias(out, bias, rows, outer)
        return out
      },
      (dOut, [dX, dWeight, dBias]) => {
        kernels.matmul(dOut, weight, dX, rows, inner, outer, false, false, true)
        kernels.matmul(dOut, x, dWeight, outer, inner, rows, true, false, true)
        kernels.columnSums(dOut, dBias, rows, outer)
      },
    )
  })
})
