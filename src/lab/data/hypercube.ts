// Distinct corners of a hypercube, drawn as scikit-learn draws them (`_generate_hypercube` on top of
// `sample_without_replacement`): the same draws from the same generator in the same order.

import type { RandomState } from './numpy-random.js'

/** scikit-learn packs this many dimensions of a corner into one integer and draws any further ones one by one. */
const PACKED_DIMENSIONS = 30

/** (count × dimensions), f64: distinct rows of zeros and ones. Needs 1 ≤ dimensions and count ≤ 2^dimensions. */
export function hypercubeCorners(count: number, dimensions: number, random: RandomState): Float64Array {
  const packed = Math.min(dimensions, PACKED_DIMENSIONS)
  const single = dimensions - packed
  const bits = random.randint(0, 2, count * single)
  const codes = sampleWithoutReplacement(2 ** packed, count, random)
  const corners = new Float64Array(count * dimensions)
  for (let k = 0; k < count; k++) {
    corners.set(bits.subarray(k * single, (k + 1) * single), k * dimensions)
    for (let j = 0; j < packed; j++) {
      corners[k * dimensions + single + j] = (codes[k] >>> (packed - 1 - j)) & 1
    }
  }
  return corners
}

/**
 * (count): distinct integers from 0 to population − 1, as `sample_without_replacement` with its method "auto": by
 * rejection when they are few, from a permutation, or by a reservoir when they are nearly all. Needs count ≤
 * population ≤ 2³⁰.
 */
export function sampleWithoutReplacement(population: number, count: number, random: RandomState): Int32Array {
  const share = count / population
  if (share > 0.01 && share < 0.99) return random.permutation(population).slice(0, count)
  return share < 0.2 ? byRejection(population, count, random) : byReservoir(population, count, random)
}

function byRejection(population: number, count: number, random: RandomState): Int32Array {
  const chosen = new Set<number>()
  while (chosen.size < count) chosen.add(random.randintOne(0, population))
  return Int32Array.from(chosen)
}

function byReservoir(population: number, count: number, random: RandomState): Int32Array {
  const chosen = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count; i < population; i++) {
    const j = random.randintOne(0, i + 1)
    if (j < count) chosen[j] = i
  }
  return chosen
}
