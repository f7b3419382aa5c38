// `flicker bench decode --prefill`: a prompt of some tokens, beside the matrix product that limits it.

import type { EngineModel } from '../engine/engine-model.js'
import type { EngineOptions } from '../engine/engine-options.js'
import { type ActivationType, isQuantizedType, kernels, type WeightType } from '../kernels/index.js'
import { Purpose, RandomStream } from '../kernels/philox.js'
import { alternatingOrder, ratioInterval } from '../paired-measurement.js'
import { median } from '../statistics.js'
import { type DecodeShape, matricesOfFfn } from './random-model.js'

const PREFILL_ROUNDS = 6

/** A prompt through the dense engine and the automatic one alternately, beside the matrix product in the same rounds. */
export function measurePrefill(
  options: {
    readonly prefill: number
    readonly shape: DecodeShape
    readonly dtype: WeightType
    readonly activations?: ActivationType
  },
  engine: (options: EngineOptions) => EngineModel,
  randomTokens: (count: number) => Int32Array,
) {
  const { prefill, shape } = options
  const prompt = randomTokens(prefill)
  const gigaflops = prefillFlops(shape, prefill) / 1e9
  const product = squareProduct()
  const integers = isQuantizedType(options.dtype) && options.activations === 'int16'
  const runs = [
    ...(['dense', 'auto'] as const).map(ffn => ({ ffn, model: engine({ ffn, narrowGate: 'off' }) })),
    ...(integers
      ? [{ ffn: 'dense, f32', model: engine({ ffn: 'dense', narrowGate: 'off', activations: 'f32' }) }]
      : []),
  ].map(run => ({ ...run, seconds: [] as number[] }))
  const gemms: number[] = []
  // The first round is not counted.
  for (let round = 0; round <= PREFILL_ROUNDS; round++) {
    const gemm = product()
    if (round > 0) gemms.push(gemm)
    for (const position of alternatingOrder(runs.length, round)) {
      const { model, seconds } = runs[position]
      const session = model.session()
      const begin = performance.now()
      session.prefill(prompt)
      if (round > 0) seconds.push((performance.now() - begin) / 1000)
    }
  }
  const gemm = median(gemms)
  const rows = runs.map(({ ffn, seconds }) => {
    // What the automatic engine skips it does not compute: its rate counts the work of the dense one.
    const rate = gigaflops / median(seconds)
    return {
      ffn,
      tokensPerSecond: prefill / median(seconds),
      /** Tokens per second over those of `dense`, round by round. */
      ratio: ratioInterval(runs[0].seconds, seconds),
      gigaflopsPerSecond: rate,
      fractionOfGemm: rate / gemm,
    }
  })
  return { tokens: prefill, gigaflops, gemmGigaflopsPerSecond: gemm, rows }
}

/** Multiply-adds × 2 of a prompt: all matrices but the head, which sees one position; attention; the head. */
function prefillFlops(shape: DecodeShape, tokens: number): number {
  const { hiddenSize: d, intermediateSize: h, numHiddenLayers, numAttentionHeads, numKeyValueHeads } = shape
  const kv = (d / numAttentionHeads) * numKeyValueHeads
  const layer = 2 * d * (d + 2 * kv) + 2 * d * d + 2 * matricesOfFfn(shape) * d * h
  const attention = 4 * d * ((tokens + 1) / 2)
  return tokens * numHiddenLayers * (layer + attention) + 2 * d * shape.vocabSize
}

/** Measures the square product of `bench gemm` when called: gigaflops per second, the median of three. */
function squareProduct(): () => number {
  const n = 1024
  const [a, b, c] = [1, 2, 3].map(stream => {
    const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream })
    return Float32Array.from({ length: n * n }, () => random.uniform() - 0.5)
  })
  return () => {
    const seconds = Array.from({ length: 3 }, () => {
      const begin = performance.now()
      kernels().matmul(a, b, c, n, n, n, false, false, false)
      return (performance.now() - begin) / 1000
    })
    return (2 * n ** 3) / median(seconds) / 1e9
  }
}
