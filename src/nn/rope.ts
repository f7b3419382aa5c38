// The frequencies of the rotary position embedding: what training and the engine both turn by. Su et al. 2021, arXiv
// 2104.09864.

import { headDimOf, type ModelConfig } from './config.js'

/**
 * Angle per position of each rotated pair, in radians: (headDim/2). Pair i of a head is its elements i and
 * i + headDim/2 and turns by position · frequency i = position · ropeTheta^(−2i/headDim), stretched as
 * `ropeScaling` says.
 */
export function ropeFrequencies(config: ModelConfig): Float64Array {
  const { ropeTheta, ropeScaling } = config
  const headDim = headDimOf(config)
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
        // How often the pair turns around within the original context.
        const turns = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI)
        if (turns > highFreqFactor) return frequency
        if (turns < lowFreqFactor) return frequency / factor
        const kept = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
        return (1 - kept) * (frequency / factor) + kept * frequency
      })
  }
}
