// Rotary position embeddings: the frequencies that training and the engine rotate by, and what may change them. Su et al.
// 2021, arXiv 2104.09864.

import type { RopeTable } from '../tensor/ops/index.js'

/** What fixes the frequencies, beside the width of a head. */
export interface RopeConfig {
  ropeTheta: number
  /** How rotary frequencies are changed for longer contexts. Absent: not at all. */
  ropeScaling?: RopeScaling
}

export type RopeScaling =
  /** Every frequency divided by `factor`: positions are interpolated. Chen et al. 2023, arXiv 2306.15595. */
  | { readonly type: 'linear'; readonly factor: number }
  /**
   * Llama 3.1: wavelengths above originalMaxPositionEmbeddings / lowFreqFactor are stretched by `factor`, those below
   * originalMaxPositionEmbeddings / highFreqFactor stay, those between are blended.
   */
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositionEmbeddings: number
    }
  /** Frequency i divided by factors[i], headDim / 2 of them, as llama.cpp stores any stretching. */
  | { readonly type: 'factors'; readonly factors: readonly number[] }

/**
 * Angle per position of each rotated pair, in radians: (headDim/2). Pair i of a head is its elements i and
 * i + headDim/2 and is rotated by position · frequency i = position · ropeTheta^(−2i/headDim), changed as
 * `ropeScaling` says.
 */
export function ropeFrequencies({ ropeTheta, ropeScaling }: RopeConfig, headDim: number): Float64Array {
  const frequencies = Float64Array.from({ length: headDim / 2 }, (_, i) => ropeTheta ** ((-2 * i) / headDim))
  if (ropeScaling === undefined) return frequencies
  switch (ropeScaling.type) {
    case 'linear':
      return frequencies.map(frequency => frequency / ropeScaling.factor)
    case 'factors':
      return frequencies.map((frequency, i) => frequency / ropeScaling.factors[i])
    case 'llama3':
      return frequencies.map(frequency => {
        const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = ropeScaling
        // Full rotations of the pair within the original context.
        const rotations = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI)
        if (rotations > highFreqFactor) return frequency
        if (rotations < lowFreqFactor) return frequency / factor
        const kept = (rotations - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
        return (1 - kept) * (frequency / factor) + kept * frequency
      })
  }
}

/**
 * cos and sin of position · frequency, (positions, headDim/2) each, of as many positions as the arrays hold; those before
 * `first` are left as they are. frequencies: (headDim/2), radians per position.
 */
export function fillRotations(
  cos: Float32Array | Float64Array,
  sin: Float32Array | Float64Array,
  frequencies: Float64Array,
  first = 0,
): void {
  const half = frequencies.length
  for (let i = first * half; i < cos.length; i++) {
    const angle = Math.floor(i / half) * frequencies[i % half]
    cos[i] = Math.cos(angle)
    sin[i] = Math.sin(angle)
  }
}

/** The table for `seq` positions that `rope` of tensor/ops takes. */
export function ropeTable(dtype: 'f32' | 'f64', seq: number, frequencies: Float64Array): RopeTable {
  const size = seq * frequencies.length
  const Buffer = dtype === 'f32' ? Float32Array : Float64Array
  const table = { cos: new Buffer(size), sin: new Buffer(size), seq, headDim: 2 * frequencies.length }
  fillRotations(table.cos, table.sin, frequencies)
  return table
}

/** What is wrong with `scaling`, as `ropeScaling.factor must be …`; null when nothing is. */
export function ropeScalingProblem(scaling: RopeScaling, headDim: number): string | null {
  const positive = (value: number) => value > 0 && value < Number.POSITIVE_INFINITY
  if (scaling.type === 'factors') {
    const { factors } = scaling
    if (factors.length === headDim / 2 && factors.every(positive)) return null
    return `ropeScaling.factors must be ${headDim / 2} values above 0, one per rotated pair`
  }
  if (!positive(scaling.factor)) return `ropeScaling.factor must be above 0, not ${scaling.factor}`
  if (scaling.type === 'linear') return null
  const { lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: original } = scaling
  if (!(positive(low) && positive(high) && low < high)) {
    return `ropeScaling needs 0 < lowFreqFactor < highFreqFactor, not ${low} and ${high}`
  }
  if (positive(original)) return null
  return `ropeScaling.originalMaxPositionEmbeddings must be above 0, not ${original}`
}
