// Shifted ReLU whose shift is taken from a checkpoint (ReLU Strikes Back, Mirzadeh et al. 2023): so far to the right that a
// given fraction of what the FFNs are activated with lies below it.

import { parseActivation } from '../activations/index.js'
import type { TokenIds } from '../data/tokens.js'
import { OptionError } from '../errors.js'
import type { Kernels } from '../kernels/index.js'
import type { Llama } from '../nn/llama.js'
import { Tape } from '../tensor/index.js'
import type { RelufyOptions, StrategyOptions } from './strategies.js'

/** Tokens whose pre-activations are looked at, and about how many of these. */
const TOKENS = 4096
const VALUES = 2 ** 20

/** Whether the shift of this strategy has to be measured. Throws OptionError SHIFT_QUANTILE for another activation. */
export function measuresShift(
  strategy: StrategyOptions,
): strategy is RelufyOptions & { shiftQuantile: number } {
  if (strategy.strategy !== 'relufy' || strategy.shiftQuantile === undefined) return false
  const { name } = parseActivation(strategy.to)
  if (name === 'shifted-relu') return true
  throw new OptionError(
    'SHIFT_QUANTILE',
    `shiftQuantile measures the shift of shifted-relu, and the run continues with ${name}; give --to shifted-relu, or leave it out`,
  )
}

/** The quantile of the pre-activations of `model` over the first tokens of a text, in windows of `context`; three digits. */
export function measuredShift(
  model: Llama,
  kernels: Kernels,
  tokens: TokenIds,
  { quantile, context }: { readonly quantile: number; readonly context: number },
): number {
  const windows = Math.max(1, Math.floor(Math.min(TOKENS, tokens.length) / context))
  const { numHiddenLayers, intermediateSize } = model.config
  const stride = Math.max(1, Math.floor((windows * context * numHiddenLayers * intermediateSize) / VALUES))
  const values: number[] = []
  let next = 0
  const tape = new Tape(kernels, { training: false })
  for (let window = 0; window < windows; window++) {
    tape.reset()
    model.logits(tape, Int32Array.from(tokens.subarray(window * context, (window + 1) * context)), context, {
      activation: parseActivation(model.config.activation),
      draw: { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, firstRow: window * context },
      onPreActivation: (_, { data }) => {
        for (; next < data.length; next += stride) values.push(data[next])
        next -= data.length
      },
    })
  }
  const sorted = Float64Array.from(values).sort()
  return Number(sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))].toPrecision(3))
}
