// One list of kernel calls that every backend must answer alike: all kernels, over sizes that are 0, 1, odd,
// multiples and non-multiples of vectors and blocks. twins.test.ts runs it.

import type { Activation } from '../../src/activations/activation.js'
import { parseActivation } from '../../src/activations/catalog.js'
import type { AttentionShape, Floats, Kernels } from '../../src/kernels/index.js'
import { type FloatsConstructor, RandomInputs, someDraw } from './random-inputs.js'

export interface KernelCase {
  readonly name: string
  /** Calls the kernel on inputs of this precision and returns every buffer it may have written. */
  run(kernels: Kernels, floats: FloatsConstructor): Floats[]
}

type Body = (kernels: Kernels, inputs: RandomInputs) => Floats[]

/** Elements behind the end of every output: kernels must leave them as they are. */
const GUARD = 3

/** All cases, in a fixed order with unique names. */
export function kernelCases(): KernelCase[] {
  return [
    ...matmulCases(),
    ...matmulBf16Cases(),
    ...sparseProductCases(),
    ...elementwiseCases(),
    ...embeddingCases(),
    ...normCases(),
    ...layerNormCases(),
    ...ropeCases(),
    ...attentionCases(),
    ...activationCases(),
    ...crossEntropyCases(),
    ...adamWCases(),
  ]
}

/** A case whose inputs depend on its name alone. */
function kernelCase(name: string, body: Body): KernelCase {
  let seed = 0
  for (const character of name) seed = (Math.imul(seed, 31) + character.charCodeAt(0)) >>> 0
  return { name, run: (kernels, floats) => body(kernels, new RandomInputs(floats, seed)) }
}

function sparseProductCases(): KernelCase[] {
  const shapes = [
    [1, 1, 1],
    [3, 5, 7],
    [33, 65, 31],
    [70, 300, 16],
    [130, 129, 67],
    [5, 40, 256],
    [0, 5, 3],
    [4, 0, 3],
  ]
  return shapes.flatMap(([rows, neurons, width]) =>
    [0, 0.6, 0.95, 1].map(zeros =>
      kernelCase(`sparse products, ${rows}×${neurons}×${width}, ${zeros} zeros`, (kernels, inputs) => {
        const uniform = inputs.integers(rows * neurons, 1000)
        const s = inputs
          .normal(rows * neurons)
          .map((x, i) => (uniform[i] < 1000 * zeros ? (i % 2 ? -0 : 0) : x))
        const [x, w] = [inputs.normal(rows * width), inputs.normal(neurons * width)]
        const dots = inputs.normal(rows * neurons + GUARD)
        kernels.sparseDots(s, x, w, dots, rows, neurons, width)
        const transposed = inputs.normal(rows * neurons + GUARD)
        const written = [false, true].flatMap(accumulate => {
          const [y, columns] = [inputs.normal(rows * width + GUARD), inputs.normal(neurons * width + GUARD)]
          kernels.sparseRows(s, w, y, rows, neurons, width, accumulate)
          kernels.sparseColumns(s, x, columns, rows, neurons, width, accumulate)
          kernels.transpose(s, transposed, rows, neurons, accumulate)
          return [y, columns]
        })
        return [dots, transposed, ...written]
      }),
    ),
  )
}

function matmulCases(): KernelCase[] {
  const shapes = [
    [1, 1, 1],
    [3, 5, 7],
    [16, 16, 16],
    [17, 33, 31],
    [64, 64, 64],
    [65, 129, 67],
    [1, 300, 200],
    [130, 1, 270],
    [96, 48, 513],
    [14, 260, 300],
    // Small results of long sums.
    [20, 33, 1100],
    [3, 2, 7000],
    [0, 5, 3],
    [5, 0, 3],
    [4, 6, 0],
  ]
  return shapes.flatMap(([m, n, k]) =>
    [0, 1, 2, 3].flatMap(transposes =>
      [false, true].map(accumulate => {
        const transA = (transposes & 1) !== 0
        const transB = (transposes & 2) !== 0
        const sides = `${transA ? 'aᵀ' : 'a'}·${transB ? 'bᵀ' : 'b'}`
        return kernelCase(
          `matmul c ${accumulate ? '+=' : '='} ${sides}, ${m}×${n}×${k}`,
          (kernels, inputs) => {
            const c = inputs.normal(m * n + GUARD)
            kernels.matmul(inputs.normal(m * k), inputs.normal(k * n), c, m, n, k, transA, transB, accumulate)
            return [c]
          },
        )
      }),
    ),
  )
}

/** By the processor's own products where it has them, and by emulated ones. */
function matmulBf16Cases(): KernelCase[] {
  const shapes = [
    [1, 1, 1],
    [3, 5, 7],
    [17, 33, 31],
    [65, 129, 67],
    [96, 48, 513],
    [14, 260, 300],
    [20, 33, 1101],
    [4, 6, 0],
  ]
  return shapes.flatMap(([m, n, k]) =>
    [0, 1, 2, 3].flatMap(transposes =>
      [false, true].map(emulated =>
        kernelCase(
          `matmulBf16${emulated ? ' emulated' : ''}, ${m}×${n}×${k}, transposed: ${transposes}`,
          (kernels, inputs) => {
            const [transA, transB] = [(transposes & 1) !== 0, (transposes & 2) !== 0]
            const [a, b, c] = [inputs.normal(m * k), inputs.normal(k * n), inputs.normal(m * n + GUARD)]
            // What a float holds, so that all round the same number.
            for (const values of [a, b]) values.set(Float32Array.from(values))
            kernels.matmulBf16(a, b, c, m, n, k, transA, transB, k === 67, emulated)
            return [c]
          },
        ),
      ),
    ),
  )
}

function elementwiseCases(): KernelCase[] {
  const lengths = [0, 1, 7, 16, 31, 64, 1000, 70_001]
  const matrices = [
    [0, 5],
    [1, 1],
    [3, 17],
    [64, 32],
    [131, 70],
  ]
  return [
    ...matrices.flatMap(([rows, width]) => [
      kernelCase(`addBias ${rows}×${width}`, (kernels, inputs) => {
        const x = inputs.normal(rows * width + GUARD)
        kernels.addBias(x, inputs.normal(width), rows, width)
        return [x]
      }),
      kernelCase(`columnSums ${rows}×${width}`, (kernels, inputs) => {
        const out = inputs.normal(width + GUARD)
        kernels.columnSums(inputs.normal(rows * width), out, rows, width)
        return [out]
      }),
    ]),
    ...lengths.flatMap(n => [
      kernelCase(`add and multiply, n = ${n}`, (kernels, inputs) => {
        const a = inputs.normal(n)
        const b = inputs.normal(n)
        const sum = inputs.normal(n + GUARD)
        const product = inputs.normal(n + GUARD)
        kernels.add(a, b, sum, n)
        kernels.multiply(a, b, product, n)
        return [sum, product]
      }),
      kernelCase(`add and multiply into an operand, n = ${n}`, (kernels, inputs) => {
        const a = inputs.normal(n + GUARD)
        const b = inputs.normal(n + GUARD)
        kernels.add(a, b, a, n)
        kernels.multiply(a, b, b, n)
        return [a, b]
      }),
      kernelCase(`axpy, n = ${n}`, (kernels, inputs) => {
        const y = inputs.normal(n + GUARD)
        kernels.axpy(-0.75, inputs.normal(n), y, n)
        return [y]
      }),
      kernelCase(`addSign, n = ${n}`, (kernels, inputs) => {
        const x = inputs.normal(n + GUARD)
        for (let i = 0; i < x.length; i += 3) x[i] = i % 2 === 0 ? 0 : -0
        const y = inputs.normal(n + GUARD)
        const zeros = Int32Array.of(-1)
        const total = kernels.addSign(0.75, x, y, zeros, n)
        return [y, inputs.of([total]), inputs.of([zeros[0]])]
      }),
      kernelCase(`sum, sumOfSquares and countZeros, n = ${n}`, (kernels, inputs) => {
        const x = inputs.normal(n + GUARD, { mean: 1 })
        for (let i = 0; i < x.length; i += 3) x[i] = i % 2 === 0 ? 0 : -0
        return [kernels.sum(x, n), kernels.sumOfSquares(x, n), kernels.countZeros(x, n)].map(value =>
          inputs.of([value]),
        )
      }),
    ]),
  ]
}

function embeddingCases(): KernelCase[] {
  const shapes = [
    [0, 4, 3],
    [1, 1, 1],
    [5, 7, 3],
    [200, 50, 64],
    [33, 1000, 17],
  ]
  return shapes.flatMap(([rows, vocab, width]) => [
    kernelCase(`embedding, ${rows} of ${vocab} tokens × ${width}`, (kernels, inputs) => {
      const out = inputs.normal(rows * width + GUARD)
      kernels.embedding(inputs.integers(rows, vocab), inputs.normal(vocab * width), out, rows, width)
      return [out]
    }),
    kernelCase(`embeddingBackward, ${rows} of ${vocab} tokens × ${width}`, (kernels, inputs) => {
      const dTable = inputs.normal(vocab * width)
      kernels.embeddingBackward(
        inputs.integers(rows, vocab),
        inputs.normal(rows * width),
        dTable,
        rows,
        width,
      )
      return [dTable]
    }),
  ])
}

function normCases(): KernelCase[] {
  const shapes = [
    [0, 8],
    [1, 1],
    [3, 5],
    [7, 16],
    [65, 128],
    [40, 100],
  ]
  return shapes.map(([rows, width]) =>
    kernelCase(`rmsNorm forward and backward ${rows}×${width}`, (kernels, inputs) => {
      const x = inputs.normal(rows * width)
      const weight = inputs.normal(width, { mean: 1, std: 0.3 })
      const out = inputs.normal(rows * width + GUARD)
      const rstd = inputs.normal(rows + GUARD)
      kernels.rmsNorm(x, weight, out, rstd, rows, width, 1e-5)
      const dX = inputs.normal(rows * width + GUARD)
      const dWeight = inputs.normal(width + GUARD)
      kernels.rmsNormBackward(inputs.normal(rows * width), x, weight, rstd, dX, dWeight, rows, width)
      return [out, rstd, dX, dWeight]
    }),
  )
}

function layerNormCases(): KernelCase[] {
  const shapes = [
    [0, 8],
    [1, 2],
    [3, 5],
    [7, 16],
    [65, 128],
    [40, 100],
  ]
  return shapes.map(([rows, width]) =>
    kernelCase(`layerNorm forward and backward ${rows}×${width}`, (kernels, inputs) => {
      const x = inputs.normal(rows * width, { mean: 2 })
      const weight = inputs.normal(width, { mean: 1, std: 0.3 })
      const out = inputs.normal(rows * width + GUARD)
      const statistics = inputs.normal(2 * rows + GUARD)
      kernels.layerNorm(x, weight, inputs.normal(width), out, statistics, rows, width, 1e-5)
      const dX = inputs.normal(rows * width + GUARD)
      const dWeight = inputs.normal(width + GUARD)
      const dBias = inputs.normal(width + GUARD)
      const dOut = inputs.normal(rows * width)
      kernels.layerNormBackward(dOut, x, weight, statistics, dX, dWeight, dBias, rows, width)
      return [out, statistics, dX, dWeight, dBias]
    }),
  )
}

function ropeCases(): KernelCase[] {
  const shapes = [
    [0, 1, 1, 2],
    [1, 1, 1, 2],
    [6, 3, 2, 6],
    [20, 10, 3, 10],
    [64, 32, 4, 32],
    [66, 33, 2, 64],
  ]
  return shapes.map(([rows, seq, heads, headDim]) =>
    kernelCase(`rope forward and backward, ${rows} rows, ${heads} heads × ${headDim}`, (kernels, inputs) => {
      const size = rows * heads * headDim
      const { cos, sin } = inputs.angles(seq, headDim / 2)
      const out = inputs.normal(size + GUARD)
      const dX = inputs.normal(size + GUARD)
      kernels.rope(inputs.normal(size), cos, sin, out, rows, seq, heads, headDim)
      kernels.ropeBackward(inputs.normal(size), cos, sin, dX, rows, seq, heads, headDim)
      return [out, dX]
    }),
  )
}

function attentionCases(): KernelCase[] {
  const shapes: AttentionShape[] = [
    { batch: 0, seq: 4, heads: 2, kvHeads: 1, headDim: 8 },
    { batch: 1, seq: 1, heads: 1, kvHeads: 1, headDim: 1 },
    { batch: 2, seq: 5, heads: 4, kvHeads: 2, headDim: 6 },
    { batch: 1, seq: 16, heads: 3, kvHeads: 1, headDim: 16 },
    { batch: 2, seq: 33, heads: 2, kvHeads: 2, headDim: 10 },
    { batch: 1, seq: 64, heads: 2, kvHeads: 1, headDim: 32 },
    { batch: 1, seq: 65, heads: 1, kvHeads: 1, headDim: 64 },
    { batch: 2, seq: 130, heads: 4, kvHeads: 4, headDim: 32 },
    { batch: 1, seq: 300, heads: 4, kvHeads: 2, headDim: 24 },
    { batch: 1, seq: 20, heads: 2, kvHeads: 2, headDim: 128 },
    { batch: 2, seq: 70, heads: 2, kvHeads: 1, headDim: 16, scale: 0.4 },
    { batch: 1, seq: 70, heads: 2, kvHeads: 1, headDim: 16, softcap: 0.7 },
    { batch: 1, seq: 9, heads: 1, kvHeads: 1, headDim: 6, window: 1 },
    { batch: 2, seq: 70, heads: 2, kvHeads: 1, headDim: 16, window: 5 },
    { batch: 1, seq: 300, heads: 4, kvHeads: 2, headDim: 24, window: 64 },
    { batch: 1, seq: 300, heads: 2, kvHeads: 2, headDim: 8, window: 130, softcap: 1.5, scale: 0.7 },
    { batch: 1, seq: 300, heads: 2, kvHeads: 1, headDim: 12, window: 400 },
  ]
  return shapes.map(shape => {
    const { batch, seq, heads, kvHeads, headDim, scale, softcap, window } = shape
    const more = [scale, softcap, window].some(value => value !== undefined)
      ? `, scale ${scale}, softcap ${softcap}, window ${window}`
      : ''
    const name = `attention forward and backward, ${batch}×${seq}, ${heads}/${kvHeads} heads × ${headDim}${more}`
    return kernelCase(name, (kernels, inputs) => {
      const qSize = batch * seq * heads * headDim
      const kvSize = batch * seq * kvHeads * headDim
      const q = inputs.normal(qSize)
      const k = inputs.normal(kvSize)
      const v = inputs.normal(kvSize)
      const out = inputs.normal(qSize + GUARD)
      const lse = inputs.normal(batch * seq * heads + GUARD)
      kernels.attention(q, k, v, out, lse, shape)
      const dQ = inputs.normal(qSize + GUARD)
      const dK = inputs.normal(kvSize + GUARD)
      const dV = inputs.normal(kvSize + GUARD)
      kernels.attentionBackward(inputs.normal(qSize), q, k, v, out, lse, dQ, dK, dV, shape)
      return [out, lse, dQ, dK, dV]
    })
  })
}

/** The activations of the twin tests: every fused kernel, the ends of p, and one that has no fused kernel. */
function testedActivations(): { label: string; act: Activation }[] {
  const specs = [
    'relu',
    'silu',
    'stocha:p=0.7',
    'stocha:p=0.3,positive=silu',
    'stocha:p=0.5,positive=drawn',
    'stocha:p=0',
    'stocha:p=1',
    'stoch:p=0.4',
  ]
  const { fused: _, ...unfused } = parseActivation('stocha:p=0.6')
  return [
    ...specs.map(spec => ({ label: spec, act: parseActivation(spec) })),
    { label: 'stocha:p=0.6 without its fused kernel', act: unfused },
  ]
}

function activationCases(): KernelCase[] {
  const shapes = [
    [0, 16],
    [1, 1],
    [3, 7],
    [5, 16],
    [9, 66],
    [70, 129],
  ]
  // Both zeros, the kink, SiLU's minimum, and so far out that exp over- and underflows in f32.
  const corners = [0, -0, 1e-6, -1e-6, -1.278465, 20, -20, 80, -80, 100, -100, 1000, -1000]
  return testedActivations().flatMap(({ label, act }) => [
    ...shapes.map(([rows, width]) =>
      kernelCase(`activation and gate, ${label}, ${rows}×${width}`, (kernels, inputs) => {
        return runActivation(kernels, inputs, act, inputs.normal(rows * width), rows, width)
      }),
    ),
    kernelCase(`activation and gate, ${label}, corner values`, (kernels, inputs) => {
      return corners.flatMap(corner => {
        const x = inputs.of(Array(2 * 33).fill(corner))
        // The zeros are left out: whether the tail of SiLU underflows is not part of the contract.
        return runActivation(kernels, inputs, act, x, 2, 33).slice(0, -1)
      })
    }),
  ])
}

/** All four activation kernels on pre-activations x, and as last buffer where the forward pass is exactly zero. */
function runActivation(
  kernels: Kernels,
  inputs: RandomInputs,
  act: Activation,
  x: Floats,
  rows: number,
  width: number,
): Floats[] {
  const size = rows * width
  const up = inputs.normal(size)
  const dOut = inputs.normal(size)
  const [activated, gated, dX, dGate, dUp] = Array.from({ length: 5 }, () => inputs.normal(size + GUARD))
  kernels.activation(act, x, activated, rows, width, someDraw)
  kernels.gate(act, x, up, gated, rows, width, someDraw)
  kernels.activationBackward(act, dOut, x, dX, rows, width, someDraw)
  kernels.gateBackward(act, dOut, x, up, dGate, dUp, rows, width, someDraw)
  const zeros = inputs.of([...activated.subarray(0, size)].map(value => (Object.is(value, 0) ? 1 : 0)))
  return [activated, gated, dX, dGate, dUp, zeros]
}

function crossEntropyCases(): KernelCase[] {
  const shapes = [
    [0, 4],
    [1, 1],
    [3, 7],
    [33, 64],
    [20, 257],
    [5, 4096],
  ]
  return shapes.flatMap(([rows, vocab]) =>
    (['losses alone', 'with gradient', 'with gradient in place'] as const).map(mode =>
      kernelCase(`crossEntropy ${mode}, ${rows}×${vocab}`, (kernels, inputs) => {
        const logits = inputs.normal(rows * vocab + GUARD, { std: 4 })
        const targets = inputs.integers(rows, vocab)
        for (let row = 1; row < rows; row += 4) targets[row] = -1
        const losses = inputs.normal(rows + GUARD)
        const dLogits = mode === 'with gradient' ? inputs.normal(rows * vocab + GUARD) : logits
        const wanted = mode === 'losses alone' ? null : dLogits
        kernels.crossEntropy(logits, targets, losses, wanted, rows, vocab, 0.125)
        return [losses, logits, dLogits]
      }),
    ),
  )
}

function adamWCases(): KernelCase[] {
  return [0, 1, 15, 16, 100, 5003].flatMap(n =>
    [1, 1000].map(step =>
      kernelCase(`adamW, n = ${n}, step ${step}`, (kernels, inputs) => {
        const param = inputs.normal(n + GUARD)
        const m = inputs.normal(n + GUARD, { std: 0.1 })
        const v = inputs.normal(n + GUARD).map(Math.abs)
        kernels.adamW(param, inputs.normal(n), m, v, n, {
          lr: 0.01,
          beta1: 0.9,
          beta2: 0.95,
          eps: 1e-8,
          weightDecay: 0.1,
          step,
          gradScale: 0.5,
        })
        return [param, m, v]
      }),
    ),
  )
}
