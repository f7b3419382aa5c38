// Rotary position embeddings: the rotation that training and the engine apply, and what may change it. Su et al. 2021,
// arXiv 2104.09864.

import type { RopeTable } from '../tensor/ops/index.js'

/** What fixes the rotations, beside the width of a head. */
export interface RopeConfig {
  ropeTheta: number
  /** How rotary frequencies are changed for longer contexts. Absent: not at all. */
  ropeScaling?: RopeScaling
  /** How many values of a head are rotated: even. Absent: all. */
  rotaryDim?: number
  /** Base of the layers with a sliding window, whose frequencies are not scaled. Absent: as all layers. */
  localRopeTheta?: number
  /** Tokens of the longest context that the model is meant for. */
  maxPositionEmbeddings: number
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
  /**
   * YaRN (Peng et al. 2023, arXiv 2309.00071): pairs that rotate more than betaFast times (default 32) in the original context
   * stay, those with less than betaSlow (default 1) are interpolated, those between blended; cos and sin are multiplied by
   * attentionFactor, default 0.1 ln(factor) + 1.
   */
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly originalMaxPositionEmbeddings: number
      readonly betaFast?: number
      readonly betaSlow?: number
      readonly attentionFactor?: number
    }
  /**
   * LongRoPE (Ding et al. 2024, arXiv 2402.13753): frequency i divided by shortFactors[i], or by longFactors[i] at every
   * position of a text that is longer than the original context; cos and sin multiplied by attentionFactor, default
   * √(1 + ln(factor) / ln(original)), where `factor` is how much longer the longest context is.
   */
  | {
      readonly type: 'longrope'
      readonly factor: number
      readonly originalMaxPositionEmbeddings: number
      readonly shortFactors: readonly number[]
      readonly longFactors: readonly number[]
      readonly attentionFactor?: number
    }
  /** Frequency i divided by factors[i], one per rotated pair, as llama.cpp stores any stretching. */
  | { readonly type: 'factors'; readonly factors: readonly number[] }

/** The rotations of a layer: all are the same, those of layers with a window have a base of their own, or none rotates. */
export type RopeKind = 'global' | 'local' | 'none'

export interface Rotation {
  /** Angle per position of each pair, in radians: (headDim/2); 0 for pairs that are not rotated. */
  readonly frequencies: Float64Array<ArrayBuffer>
  /** What cos and sin are multiplied by: (headDim/2). */
  readonly magnitudes: Float64Array<ArrayBuffer>
}

/**
 * Pair i of a head is its elements i and i + headDim/2 and is rotated by position · frequency i, where frequency i is
 * ropeTheta^(−2i/rotaryDim), changed as `ropeScaling` says. The pairs from rotaryDim/2 on stay: files keep them after the
 * rotated ones, and readers put them into place. `length`: tokens of the text, on which LongRoPE depends.
 */
export function rotationOf(
  config: RopeConfig,
  headDim: number,
  kind: RopeKind = 'global',
  length: number = config.maxPositionEmbeddings,
): Rotation {
  const pairs = headDim / 2
  const frequencies = new Float64Array(pairs)
  const magnitudes = new Float64Array(pairs).fill(1)
  if (kind === 'none') return { frequencies, magnitudes }
  const rotaryDim = config.rotaryDim ?? headDim
  const localTheta = kind === 'local' ? config.localRopeTheta : undefined
  const theta = localTheta ?? config.ropeTheta
  const plain = Float64Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((-2 * i) / rotaryDim))
  const scaling = localTheta === undefined ? config.ropeScaling : undefined
  const scaled = scaling === undefined ? plain : scaledFrequencies(plain, scaling, theta, length)
  frequencies.set(scaled)
  if (scaling !== undefined) magnitudes.fill(magnitudeOf(scaling), 0, scaled.length)
  return { frequencies, magnitudes }
}

/** Tokens of the longest text that takes the short factors of LongRoPE; null without LongRoPE, or where no text is longer. */
export function shortTextOf({ ropeScaling, maxPositionEmbeddings }: RopeConfig): number | null {
  if (ropeScaling?.type !== 'longrope') return null
  const { originalMaxPositionEmbeddings: original } = ropeScaling
  return original < maxPositionEmbeddings ? original : null
}

/** `rotationOf` the layers without a base of their own. */
export function ropeFrequencies(config: RopeConfig, headDim: number): Float64Array {
  return rotationOf(config, headDim).frequencies
}

function scaledFrequencies(
  frequencies: Float64Array,
  scaling: RopeScaling,
  theta: number,
  length: number,
): Float64Array {
  switch (scaling.type) {
    case 'linear':
      return frequencies.map(frequency => frequency / scaling.factor)
    case 'factors':
      return frequencies.map((frequency, i) => frequency / scaling.factors[i])
    case 'longrope': {
      const long = length > scaling.originalMaxPositionEmbeddings
      const factors = long ? scaling.longFactors : scaling.shortFactors
      return frequencies.map((frequency, i) => frequency / factors[i])
    }
    case 'yarn': {
      const { factor, betaFast = 32, betaSlow = 1, originalMaxPositionEmbeddings: original } = scaling
      const width = 2 * frequencies.length
      /** The pair, not rounded, that rotates so many times within the original context. */
      const pairOf = (rotations: number) =>
        (width * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta))
      const low = Math.max(0, Math.floor(pairOf(betaFast)))
      const high = Math.min(width - 1, Math.ceil(pairOf(betaSlow)))
      return frequencies.map((frequency, i) => {
        const stretched = Math.min(1, Math.max(0, (i - low) / Math.max(0.001, high - low)))
        return frequency * (1 - stretched) + (frequency / factor) * stretched
      })
    }
    case 'llama3':
      return frequencies.map(frequency => {
        const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling
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
 * `first` are left as they are. `rotation`: of a layer.
 */
export function fillRotations(
  cos: Float32Array | Float64Array,
  sin: Float32Array | Float64Array,
  { frequencies, magnitudes }: Rotation,
  first = 0,
): void {
  const half = frequencies.length
  for (let i = first * half; i < cos.length; i++) {
    const angle = Math.floor(i / half) * frequencies[i % half]
    cos[i] = magnitudes[i % half] * Math.cos(angle)
    sin[i] = magnitudes[i % half] * Math.sin(angle)
  }
}

/** The table for `seq` positions that `rope` of tensor/ops takes. */
export function ropeTable(dtype: 'f32' | 'f64', seq: number, rotation: Rotation): RopeTable {
  const { frequencies } = rotation
  const size = seq * frequencies.length
  const Buffer = dtype === 'f32' ? Float32Array : Float64Array
  const table = { cos: new Buffer(size), sin: new Buffer(size), seq, headDim: 2 * frequencies.length }
  fillRotations(table.cos, table.sin, rotation)
  return table
}

/** What a scaling multiplies cos and sin by. */
export function magnitudeOf(scaling: RopeScaling): number {
  if (scaling.type !== 'yarn' && scaling.type !== 'longrope') return 1
  const { type, factor, attentionFactor, originalMaxPositionEmbeddings: original } = scaling
  if (attentionFactor !== undefined) return attentionFactor
  if (factor <= 1) return 1
  return type === 'yarn' ? 0.1 * Math.log(factor) + 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))
}

/** What is wrong with `scaling`, as `ropeScaling.factor must be …`; null when nothing is. `rotaryDim`: values of a head that are rotated. */
export function ropeScalingProblem(scaling: RopeScaling, rotaryDim: number): string | null {
  const positive = (value: number) => value > 0 && value < Number.POSITIVE_INFINITY
  const pairs = rotaryDim / 2
  const lists =
    scaling.type === 'factors'
      ? { factors: scaling.factors }
      : scaling.type === 'longrope'
        ? { shortFactors: scaling.shortFactors, longFactors: scaling.longFactors }
        : {}
  for (const [name, factors] of Object.entries(lists)) {
    if (factors.length === pairs && factors.every(positive)) continue
    return `ropeScaling.${name} must be ${pairs} values above 0, one per rotated pair`
  }
  if (scaling.type === 'factors') return null
  if (!positive(scaling.factor)) return `ropeScaling.factor must be above 0, not ${scaling.factor}`
  if (scaling.type === 'linear') return null
  const { originalMaxPositionEmbeddings: original } = scaling
  if (scaling.type === 'llama3') {
    const { lowFreqFactor: low, highFreqFactor: high } = scaling
    if (!(positive(low) && positive(high) && low < high)) {
      return `ropeScaling needs 0 < lowFreqFactor < highFreqFactor, not ${low} and ${high}`
    }
  } else if (scaling.attentionFactor !== undefined && !positive(scaling.attentionFactor)) {
    return `ropeScaling.attentionFactor must be above 0, not ${scaling.attentionFactor}`
  }
  if (scaling.type === 'yarn') {
    const { betaFast: fast = 32, betaSlow: slow = 1 } = scaling
    if (!(positive(fast) && positive(slow) && slow <= fast)) {
      return `ropeScaling needs 0 < betaSlow ≤ betaFast, not ${slow} and ${fast}`
    }
  }
  if (positive(original)) return null
  return `ropeScaling.originalMaxPositionEmbeddings must be above 0, not ${original}`
}
