// scikit-learn's `train_test_split`: which samples train and which are kept for validation, with the same indices in
// the same order for the same seed.

import { OptionError } from '../../errors.js'
import { RandomState } from './numpy-random.js'

export interface TrainTestSplitOptions {
  /** A fraction when below 1, otherwise a number of samples. Default: what trainSize leaves, or 0.25. */
  testSize?: number
  /** Likewise. Default: what testSize leaves. */
  trainSize?: number
  /** A seed, a generator to go on with, or null for a fresh seed. Default null. */
  randomState?: number | RandomState | null
  /** Default true; otherwise the first samples train and the next are the test. */
  shuffle?: boolean
  /** (samples): classes, numbered from 0, whose shares both parts keep. */
  stratify?: Int32Array | null
}

export interface Split {
  train: Int32Array
  test: Int32Array
}

/**
 * Indices of both parts of `samples` samples, as `train_test_split(np.arange(samples), …)` of scikit-learn (held to
 * version 1.2.1). Throws OptionError.
 */
export function trainTestSplit(samples: number, options: TrainTestSplitOptions = {}): Split {
  const { shuffle = true, stratify = null, randomState = null } = options
  const { train, test } = sizes(samples, options)
  if (stratify !== null) {
    if (!shuffle)
      throw invalid('a stratified split is not implemented for shuffle=False; leave one of the two out')
    if (stratify.length !== samples) {
      throw invalid(`stratify has ${stratify.length} classes for ${samples} samples; give one per sample`)
    }
  }
  if (!shuffle) {
    const all = Int32Array.from({ length: train + test }, (_, i) => i)
    return { train: all.slice(0, train), test: all.slice(train) }
  }
  const random = randomState instanceof RandomState ? randomState : new RandomState(randomState)
  if (stratify !== null) return stratifiedSplit(stratify, train, test, random)
  const permutation = random.permutation(samples)
  return { train: permutation.slice(test, test + train), test: permutation.slice(0, test) }
}

function sizes(
  samples: number,
  { testSize, trainSize }: TrainTestSplitOptions,
): { train: number; test: number } {
  if (!Number.isSafeInteger(samples) || samples < 1 || samples > 2 ** 31 - 1) {
    throw invalid(`the number of samples must be an integer between 1 and 2**31 - 1; it is ${samples}`)
  }
  for (const [name, size] of [
    ['test_size', testSize],
    ['train_size', trainSize],
  ] as const) {
    if (size === undefined) continue
    if (!(size > 0) || (size >= 1 && (size >= samples || !Number.isInteger(size)))) {
      throw invalid(
        `${name}=${size} should be either positive and smaller than the number of samples ${samples} ` +
          'or a float in the (0, 1) range',
      )
    }
  }
  const share = testSize ?? (trainSize === undefined ? 0.25 : undefined)
  const test = share === undefined ? undefined : share < 1 ? Math.ceil(share * samples) : share
  const train =
    trainSize === undefined ? samples - test! : trainSize < 1 ? Math.floor(trainSize * samples) : trainSize
  const rest = test ?? samples - train
  if (train + rest > samples) {
    throw invalid(
      `the sum of train_size and test_size = ${train + rest} should be smaller than the number of samples ` +
        `${samples}; reduce test_size or train_size`,
    )
  }
  if (train === 0) {
    throw invalid(
      `with n_samples=${samples}, test_size=${testSize ?? null} and train_size=${trainSize ?? null} the training ` +
        'part is empty; give more samples or a smaller test_size',
    )
  }
  return { train, test: rest }
}

/** `StratifiedShuffleSplit`: each class is permuted and shared out, then both parts are permuted. */
function stratifiedSplit(y: Int32Array, trainSize: number, testSize: number, random: RandomState): Split {
  const members = new Map<number, number[]>()
  for (const [i, label] of y.entries()) {
    const list = members.get(label)
    if (list === undefined) members.set(label, [i])
    else list.push(i)
  }
  const classes = [...members].sort(([a], [b]) => a - b).map(([, list]) => list)
  const counts = classes.map(list => list.length)
  const single = counts.indexOf(1)
  if (single >= 0) {
    throw invalid(
      'the least populated class in y has only 1 member, which is too few: a stratified split needs at least 2 of ' +
        `each class (class ${y[classes[single][0]]})`,
    )
  }
  for (const [name, size] of [
    ['train_size', trainSize],
    ['test_size', testSize],
  ] as const) {
    if (size < classes.length) {
      throw invalid(
        `the ${name} = ${size} should be greater or equal to the number of classes = ${classes.length}`,
      )
    }
  }
  const trainCounts = likelyCounts(counts, trainSize, random)
  const left = counts.map((count, i) => count - trainCounts[i])
  const testCounts = likelyCounts(left, testSize, random)
  const train: number[] = []
  const test: number[] = []
  for (const [i, list] of classes.entries()) {
    const order = random.permutation(list.length)
    for (let k = 0; k < trainCounts[i]; k++) train.push(list[order[k]])
    for (let k = 0; k < testCounts[i]; k++) test.push(list[order[trainCounts[i] + k]])
  }
  return {
    train: random.permutation(Int32Array.from(train)),
    test: random.permutation(Int32Array.from(test)),
  }
}

/**
 * How many of each class `draws` draws most likely take (`_approximate_mode`): the whole parts of the expected numbers,
 * then one more for the largest remainders, equal ones in random order.
 */
function likelyCounts(counts: readonly number[], draws: number, random: RandomState): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const expected = counts.map(count => (count / total) * draws)
  const floored = expected.map(Math.floor)
  const remainders = expected.map((value, i) => value - floored[i])
  let missing = draws - floored.reduce((sum, count) => sum + count, 0)
  const descending = [...new Set(remainders)].sort((a, b) => b - a)
  for (const remainder of descending) {
    if (missing <= 0) break
    const tied = Int32Array.from(remainders.keys()).filter(i => remainders[i] === remainder)
    const added = random.choiceWithoutReplacement(tied, Math.min(tied.length, missing))
    for (const i of added) floored[i]++
    missing -= added.length
  }
  return floored
}

function invalid(message: string): OptionError {
  return new OptionError('SPLIT_INVALID', `train_test_split: ${message}`)
}
