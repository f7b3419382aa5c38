// What is measured on the validation set after every epoch.

import type { Floats } from '../kernels/index.js'
import type { LabSplit } from './data/index.js'
import type { Forward } from './network.js'

/** How the gate's weights of all hidden neurons over all samples are distributed. */
export interface GateWeights {
  readonly mean: number
  /** At the fractions of GATE_QUANTILES. */
  readonly quantiles: readonly number[]
  /** Share in each of GATE_BINS equal parts of [0, 1]. */
  readonly histogram: readonly number[]
}

export interface Measured {
  /** Mean cross-entropy, nats. */
  readonly loss: number
  /** Share of samples whose largest logit is that of their class. */
  readonly accuracy: number
  /** Fraction of exact zeros among the hidden activations of all layers. */
  readonly sparsity: number
  readonly gate: GateWeights | null
}

export const GATE_QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95] as const
export const GATE_BINS = 20
/** Quantiles are read off bins this fine: an error below 0.001. */
const FINE_BINS = 1000

/** Loss, accuracy, sparsity and gate of one forward pass over `data`. */
export function measure({ logits, hidden, gates }: Forward, data: LabSplit, classes: number): Measured {
  const { y, samples } = data
  let loss = 0
  let right = 0
  for (let i = 0; i < samples; i++) {
    const start = i * classes
    let best = 0
    for (let c = 1; c < classes; c++) if (logits[start + c] > logits[start + best]) best = c
    let sum = 0
    for (let c = 0; c < classes; c++) sum += Math.exp(logits[start + c] - logits[start + best])
    loss += Math.log(sum) + logits[start + best] - logits[start + y[i]]
    if (best === y[i]) right++
  }
  let zeros = 0
  for (let i = 0; i < hidden.length; i++) if (hidden[i] === 0) zeros++
  return {
    loss: loss / samples,
    accuracy: right / samples,
    sparsity: hidden.length === 0 ? 0 : zeros / hidden.length,
    gate: gates === null ? null : gateWeights(gates),
  }
}

/** Distribution of numbers in [0, 1]. */
export function gateWeights(gates: Floats): GateWeights {
  const fine = new Float64Array(FINE_BINS)
  let sum = 0
  for (let i = 0; i < gates.length; i++) {
    sum += gates[i]
    fine[Math.min(FINE_BINS - 1, Math.floor(gates[i] * FINE_BINS))]++
  }
  const perBin = FINE_BINS / GATE_BINS
  const histogram = Array.from({ length: GATE_BINS }, (_, bin) => {
    const part = fine.subarray(bin * perBin, (bin + 1) * perBin)
    return part.reduce((total, count) => total + count, 0) / gates.length
  })
  return {
    mean: sum / gates.length,
    quantiles: GATE_QUANTILES.map(share => quantileOfBins(fine, share * gates.length)),
    histogram,
  }
}

/** Where `below` of the counted numbers lie to the left, numbers inside a bin spread evenly. */
function quantileOfBins(counts: Float64Array, below: number): number {
  let passed = 0
  for (let bin = 0; bin < counts.length; bin++) {
    if (passed + counts[bin] >= below && counts[bin] > 0) {
      return (bin + (below - passed) / counts[bin]) / counts.length
    }
    passed += counts[bin]
  }
  return 1
}
