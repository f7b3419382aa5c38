// How far a classifier's probabilities can be trusted: calibration error, entropy, and how well entropy tells points
// from outside the training distribution.

/** Probabilities of each class for each sample, row by row. */
export interface Predictions {
  /** samples × classes; every row sums to 1. */
  readonly probabilities: Float64Array
  readonly samples: number
  readonly classes: number
}

/** One bin of a reliability diagram. */
export interface ReliabilityBin {
  readonly samples: number
  /** Mean probability of the predicted class. */
  readonly confidence: number
  /** Share of right predictions. */
  readonly accuracy: number
}

/** Bins of the expected calibration error, as in Guo et al. 2017. */
export const CALIBRATION_BINS = 15

/** softmax over each row of logits (samples × classes). */
export function softmaxRows(logits: ArrayLike<number>, samples: number, classes: number): Predictions {
  const probabilities = new Float64Array(samples * classes)
  for (let start = 0; start < probabilities.length; start += classes) {
    let largest = Number.NEGATIVE_INFINITY
    for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[start + c])
    let sum = 0
    for (let c = 0; c < classes; c++) {
      const e = Math.exp(logits[start + c] - largest)
      probabilities[start + c] = e
      sum += e
    }
    for (let c = 0; c < classes; c++) probabilities[start + c] /= sum
  }
  return { probabilities, samples, classes }
}

/** The mean prediction of several draws. */
export function meanPrediction(draws: readonly Predictions[]): Predictions {
  const [{ samples, classes }] = draws
  const probabilities = new Float64Array(samples * classes)
  for (const draw of draws) {
    for (let i = 0; i < probabilities.length; i++) probabilities[i] += draw.probabilities[i] / draws.length
  }
  return { probabilities, samples, classes }
}

/** Class of the largest probability in row `sample`; the first of equal ones. */
export function predictedClass({ probabilities, classes }: Predictions, sample: number): number {
  let best = 0
  for (let c = 1; c < classes; c++) {
    if (probabilities[sample * classes + c] > probabilities[sample * classes + best]) best = c
  }
  return best
}

/** Samples binned by confidence, `bins` equally wide ones over [0, 1]; a confidence of 1 is in the last. */
export function reliability(
  predictions: Predictions,
  y: ArrayLike<number>,
  bins = CALIBRATION_BINS,
): ReliabilityBin[] {
  const counts = new Float64Array(bins)
  const confidences = new Float64Array(bins)
  const right = new Float64Array(bins)
  for (let i = 0; i < predictions.samples; i++) {
    const predicted = predictedClass(predictions, i)
    const confidence = predictions.probabilities[i * predictions.classes + predicted]
    const bin = Math.min(bins - 1, Math.floor(confidence * bins))
    counts[bin]++
    confidences[bin] += confidence
    if (predicted === y[i]) right[bin]++
  }
  return Array.from(counts, (samples, bin) => ({
    samples,
    confidence: samples === 0 ? 0 : confidences[bin] / samples,
    accuracy: samples === 0 ? 0 : right[bin] / samples,
  }))
}

/**
 * Expected calibration error: the mean over samples of |accuracy − confidence| of their bin. Guo et al. 2017,
 * arXiv 1706.04599.
 */
export function expectedCalibrationError(bins: readonly ReliabilityBin[]): number {
  const total = bins.reduce((sum, { samples }) => sum + samples, 0)
  return bins.reduce(
    (sum, { samples, accuracy, confidence }) => sum + (samples / total) * Math.abs(accuracy - confidence),
    0,
  )
}

/** Mean −log of the true class's probability, in nats. */
export function negativeLogLikelihood(
  { probabilities, samples, classes }: Predictions,
  y: ArrayLike<number>,
): number {
  let sum = 0
  for (let i = 0; i < samples; i++)
    sum -= Math.log(Math.max(probabilities[i * classes + y[i]], Number.MIN_VALUE))
  return sum / samples
}

/** Share of samples whose largest probability stands at their class. */
export function accuracyOf(predictions: Predictions, y: ArrayLike<number>): number {
  let right = 0
  for (let i = 0; i < predictions.samples; i++) if (predictedClass(predictions, i) === y[i]) right++
  return right / predictions.samples
}

/** Entropy of each row in nats, from 0 to ln classes. */
export function entropies({ probabilities, samples, classes }: Predictions): Float64Array {
  const out = new Float64Array(samples)
  for (let i = 0; i < samples; i++) {
    for (let c = 0; c < classes; c++) {
      const p = probabilities[i * classes + c]
      if (p > 0) out[i] -= p * Math.log(p)
    }
  }
  return out
}
