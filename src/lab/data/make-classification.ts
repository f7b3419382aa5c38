// scikit-learn's `make_classification` (Guyon 2003, "Madelon"): clusters of normal points about the corners of a
// hypercube, with redundant, repeated and useless features. The same draws in the same order give the same numbers.

import { OptionError } from '../../errors.js'
import { combineColumns, permuteRows } from './feature-matrix.js'
import { hypercubeCorners } from './hypercube.js'
import { RandomState } from './numpy-random.js'

/** Parameters and defaults of `sklearn.datasets.make_classification`, in camel case. */
export interface MakeClassificationOptions {
  /** Default 100. */
  nSamples?: number
  /** All features; those left over by the next three kinds are noise. Default 20. */
  nFeatures?: number
  /** Default 2. */
  nInformative?: number
  /** Random linear combinations of the informative features. Default 2. */
  nRedundant?: number
  /** Copies of informative and redundant features, drawn with replacement. Default 0. */
  nRepeated?: number
  /** Default 2. */
  nClasses?: number
  /** Default 2. */
  nClustersPerClass?: number
  /** Share of each class, or of all but the last, which then has the rest; null for equal shares. Default null. */
  weights?: readonly number[] | null
  /** Fraction of the samples whose class is drawn again; a negative one makes no draws at all. Default 0.01. */
  flipY?: number
  /** Half the side of the hypercube. Default 1. */
  classSep?: number
  /** Clusters at the corners of the hypercube, else of a random polytope. Default true. */
  hypercube?: boolean
  /** Added to the features: one number, one per feature, or null for draws from [−classSep, classSep]. Default 0. */
  shift?: number | readonly number[] | null
  /** Then multiplied with: one number, one per feature, or null for draws from [1, 101]. Default 1. */
  scale?: number | readonly number[] | null
  /** Shuffle samples and features. Default true. */
  shuffle?: boolean
  /** A seed, a generator to go on with, or null for a fresh seed. Default null. */
  randomState?: number | RandomState | null
}

export interface Classification {
  /** samples × features, row by row. */
  x: Float64Array
  /** Class of each sample, from 0. */
  y: Int32Array
  samples: number
  features: number
}

type Settings = Required<MakeClassificationOptions>

const DEFAULTS: Settings = {
  nSamples: 100,
  nFeatures: 20,
  nInformative: 2,
  nRedundant: 2,
  nRepeated: 0,
  nClasses: 2,
  nClustersPerClass: 2,
  weights: null,
  flipY: 0.01,
  classSep: 1,
  hypercube: true,
  shift: 0,
  scale: 1,
  shuffle: true,
  randomState: null,
}

/** Most numbers that one problem may have: 2 GiB of doubles. */
const MOST_VALUES = 2 ** 28
const MOST_CLUSTERS = 100_000

/**
 * A made-up classification problem with the numbers of scikit-learn for the same `randomState` (held to 1.2.1; 1.9.1
 * makes the same). Labels, draws and orders are the same to the bit. Noise goes through a logarithm (see RandomState)
 * and the other features through sums of products, which NumPy leaves to its BLAS and each BLAS rounds in its own
 * way: numbers agree within 1e-12 of the largest magnitude in their column. Throws OptionError.
 */
export function makeClassification(options: MakeClassificationOptions = {}): Classification {
  const settings = { ...DEFAULTS, ...withoutUndefined(options) }
  validate(settings)
  const { nSamples, nFeatures, nInformative, nRedundant, nRepeated, nClasses, classSep, randomState } =
    settings
  const random = randomState instanceof RandomState ? randomState : new RandomState(randomState)
  const clusterSizes = samplesPerCluster(settings)
  const centroids = drawCentroids(settings, random)

  const x = new Float64Array(nSamples * nFeatures)
  const y = new Int32Array(nSamples)
  random.fillStandardNormal(x, { rows: nSamples, columns: nInformative, stride: nFeatures, offset: 0 })
  let start = 0
  for (const [k, size] of clusterSizes.entries()) {
    const mixing = random.uniform(nInformative * nInformative, -1, 1)
    // Shares that add up to more than 1 leave the last clusters short.
    const stop = Math.min(start + size, nSamples)
    y.fill(k % nClasses, start, stop)
    const centroid = centroids.subarray(k * nInformative, (k + 1) * nInformative)
    const block = { x, start, stop, stride: nFeatures, inputs: nInformative }
    combineColumns({ ...block, outputs: nInformative, at: 0 }, mixing, centroid)
    start = stop
  }

  let used = nInformative
  if (nRedundant > 0) {
    const mixing = random.uniform(nInformative * nRedundant, -1, 1)
    const block = { x, start: 0, stop: nSamples, stride: nFeatures, inputs: nInformative }
    combineColumns({ ...block, outputs: nRedundant, at: used }, mixing, new Float64Array(nRedundant))
    used += nRedundant
  }
  if (nRepeated > 0) {
    const sources = random.uniform(nRepeated).map(u => Math.floor((used - 1) * u + 0.5))
    for (let row = 0; row < x.length; row += nFeatures) {
      for (let j = 0; j < nRepeated; j++) x[row + used + j] = x[row + sources[j]]
    }
    used += nRepeated
  }
  const columns = nFeatures - used
  random.fillStandardNormal(x, { rows: nSamples, columns, stride: nFeatures, offset: used })

  if (settings.flipY >= 0) flipLabels(y, settings, random)
  const shift = perFeature(settings.shift, nFeatures, () =>
    random.uniform(nFeatures, -1, 1).map(value => value * classSep),
  )
  const scale = perFeature(settings.scale, nFeatures, () => random.uniform(nFeatures, 1, 101))
  return arrange(x, y, shift, scale, settings.shuffle ? random : null)
}

function withoutUndefined(options: MakeClassificationOptions): MakeClassificationOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function validate(settings: Settings): void {
  const { nSamples, nFeatures, nInformative, nRedundant, nRepeated, nClasses, nClustersPerClass } = settings
  const least = { nSamples: 1, nFeatures: 1, nInformative: 1, nRedundant: 0, nRepeated: 0, nClasses: 1 }
  for (const [name, minimum] of Object.entries({ ...least, nClustersPerClass: 1 })) {
    const value = settings[name as keyof typeof least]
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw invalid('OUT_OF_RANGE', `${name} must be an integer of ${minimum} or more; it is ${value}`)
    }
  }
  for (const name of ['flipY', 'classSep'] as const) {
    if (!Number.isFinite(settings[name])) {
      throw invalid('OUT_OF_RANGE', `${name} must be a finite number; it is ${settings[name]}`)
    }
  }
  const needed = nInformative + nRedundant + nRepeated
  if (needed > nFeatures) {
    throw invalid(
      'TOO_FEW_FEATURES',
      'Number of informative, redundant and repeated features must sum to less than the number of total features: ' +
        `nInformative ${nInformative} + nRedundant ${nRedundant} + nRepeated ${nRepeated} = ${needed}, ` +
        `and nFeatures is ${nFeatures}`,
    )
  }
  const clusters = nClasses * nClustersPerClass
  if (clusters > 2 ** nInformative) {
    throw invalid(
      'TOO_FEW_INFORMATIVE',
      `n_classes(${nClasses}) * n_clusters_per_class(${nClustersPerClass}) must be smaller or equal ` +
        `2**n_informative(${nInformative})=${2 ** nInformative}; raise nInformative to ` +
        `${Math.ceil(Math.log2(clusters))} or more`,
    )
  }
  const largest = Math.max(nSamples * nFeatures, clusters * nInformative, nInformative * nFeatures)
  if (largest > MOST_VALUES || clusters > MOST_CLUSTERS) {
    throw invalid(
      'TOO_LARGE',
      `${nSamples} samples of ${nFeatures} features in ${clusters} clusters are too many: ` +
        `at most ${MOST_VALUES} numbers and ${MOST_CLUSTERS} clusters are made`,
    )
  }
  for (const name of ['shift', 'scale'] as const) validatePerFeature(name, settings[name], nFeatures)
}

function validatePerFeature(name: string, value: Settings['shift'], features: number): void {
  if (value === null) return
  const values = typeof value === 'number' ? [value] : value
  if (typeof value !== 'number' && values.length !== features) {
    throw invalid(
      'OUT_OF_RANGE',
      `${name} must have one number per feature; it has ${values.length} and nFeatures is ${features}`,
    )
  }
  const wrong = values.find(entry => !Number.isFinite(entry))
  if (wrong !== undefined) throw invalid('OUT_OF_RANGE', `${name} must be finite; it is ${wrong}`)
}

function invalid(kind: string, message: string): OptionError {
  return new OptionError(`CLASSIFICATION_${kind}`, `make_classification: ${message}`)
}

/** How many samples each cluster has; cluster k belongs to class k mod nClasses. */
function samplesPerCluster({ nSamples, nClasses, nClustersPerClass, weights }: Settings): number[] {
  const shares = classShares(weights, nClasses)
  const clusters = nClasses * nClustersPerClass
  const sizes: number[] = []
  for (let k = 0; k < clusters; k++) {
    sizes.push(Math.trunc((nSamples * shares[k % nClasses]) / nClustersPerClass))
  }
  const missing = nSamples - sizes.reduce((sum, size) => sum + size, 0)
  for (let i = 0; i < missing; i++) sizes[i % clusters]++
  return sizes
}

function classShares(weights: Settings['weights'], classes: number): readonly number[] {
  if (weights === null) return new Array<number>(classes).fill(1 / classes)
  if (weights.length !== classes && weights.length !== classes - 1) {
    throw invalid(
      'WEIGHTS',
      'Weights specified but incompatible with number of classes: ' +
        `${weights.length} weights for ${classes} classes; give ${classes}, or ${classes - 1} and the last has the rest`,
    )
  }
  const given = weights.reduce((sum, weight) => sum + weight, 0)
  // The rest after shares such as 0.7 and 0.3 may come out a rounding error below 0.
  const shares = weights.length === classes ? weights : [...weights, 1 - given]
  const wrong = shares.find(share => !(share > -1e-9 && share < Infinity))
  if (wrong !== undefined) {
    throw invalid('WEIGHTS', `weights must be 0 or more and sum to at most 1 (${weights.join(', ')})`)
  }
  return shares
}

/** (clusters × nInformative): corners of a hypercube with sides of 2 · classSep about 0, or of a polytope. */
function drawCentroids(settings: Settings, random: RandomState): Float64Array {
  const { nInformative, classSep } = settings
  const clusters = settings.nClasses * settings.nClustersPerClass
  const centroids = hypercubeCorners(clusters, nInformative, random)
  for (let i = 0; i < centroids.length; i++) centroids[i] = centroids[i] * (2 * classSep) - classSep
  if (settings.hypercube) return centroids
  const perCluster = random.uniform(clusters)
  const perDimension = random.uniform(nInformative)
  for (let k = 0; k < clusters; k++) {
    for (let j = 0; j < nInformative; j++) {
      centroids[k * nInformative + j] = centroids[k * nInformative + j] * perCluster[k] * perDimension[j]
    }
  }
  return centroids
}

/** Draws the class of about a fraction `flipY` of the samples again; the draw may be the class that was there. */
function flipLabels(y: Int32Array, { flipY, nClasses }: Settings, random: RandomState): void {
  const draws = random.uniform(y.length)
  const flipped: number[] = []
  for (let i = 0; i < draws.length; i++) if (draws[i] < flipY) flipped.push(i)
  const labels = random.randint(0, nClasses, flipped.length)
  for (let k = 0; k < flipped.length; k++) y[flipped[k]] = labels[k]
}

function perFeature(value: Settings['shift'], features: number, draw: () => Float64Array): Float64Array {
  if (value === null) return draw()
  return typeof value === 'number' ? new Float64Array(features).fill(value) : Float64Array.from(value)
}

/** Shifts, scales and, when given a generator, shuffles rows and columns, in one pass over the numbers. */
function arrange(
  x: Float64Array,
  y: Int32Array,
  shift: Float64Array,
  scale: Float64Array,
  random: RandomState | null,
): Classification {
  const samples = y.length
  const features = shift.length
  if (random === null) {
    for (let i = 0; i < x.length; ) {
      for (let j = 0; j < features; j++, i++) x[i] = (x[i] + shift[j]) * scale[j]
    }
    return { x, y, samples, features }
  }
  const rows = random.permutation(samples)
  const columns = random.permutation(features)
  const shifts = Float64Array.from(columns, column => shift[column])
  const scales = Float64Array.from(columns, column => scale[column])
  permuteRows(x, rows, columns, shifts, scales)
  return { x, y: rows.map(row => y[row]), samples, features }
}
