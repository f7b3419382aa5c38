// Calibration error, entropy and the area under the ROC curve against closed forms.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import {
  accuracyOf,
  entropies,
  expectedCalibrationError,
  meanPrediction,
  negativeLogLikelihood,
  type Predictions,
  reliability,
  softmaxRows,
} from '../../src/lab/calibration.js'
import { areaUnderRoc } from '../../src/statistics.js'

/** Predictions for two classes from the probabilities of class 1. */
function binary(ofOne: readonly number[]): Predictions {
  return {
    probabilities: Float64Array.from(ofOne.flatMap(p => [1 - p, p])),
    samples: ofOne.length,
    classes: 2,
  }
}

describe('calibration', () => {
  it('a classifier that is sure and always right has no error, one that is always wrong an error of 1', () => {
    const sure = binary([1, 1, 0, 0])
    expect(expectedCalibrationError(reliability(sure, [1, 1, 0, 0]))).toBe(0)
    expect(expectedCalibrationError(reliability(sure, [0, 0, 1, 1]))).toBe(1)
  })

  it('ten samples at 80 % of which six are right are off by 0.2', () => {
    const y = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    expect(expectedCalibrationError(reliability(binary(new Array(10).fill(0.8)), y))).toBeCloseTo(0.2, 12)
  })

  it('bins count by their fraction: 30 samples off by 0.1 and 10 off by 0.3 are off by 0.15', () => {
    // Confidence 0.9 with accuracy 0.8, and confidence 0.6 with accuracy 0.9.
    const y = [...new Array(24).fill(1), ...new Array(6).fill(0), ...new Array(9).fill(1), 0]
    const predictions = binary([...new Array(30).fill(0.9), ...new Array(10).fill(0.6)])
    expect(expectedCalibrationError(reliability(predictions, y))).toBeCloseTo(0.15, 12)
  })

  it('answers drawn with the stated probabilities are calibrated, up to chance', () => {
    const random = new RandomStream({ seed: 3, purpose: Purpose.data, stream: 1 })
    const ofOne = Array.from({ length: 40_000 }, () => random.uniform())
    const y = ofOne.map(p => (random.uniform() < p ? 1 : 0))
    // 15 bins of some 2,700 samples each: deviations of about √(¼/2700) ≈ 0.01.
    expect(expectedCalibrationError(reliability(binary(ofOne), y))).toBeLessThan(0.01)
  })

  it('every sample is in exactly one bin, a confidence of 1 in the last', () => {
    const bins = reliability(binary([1, 0.5, 0.5001, 0.99]), [1, 1, 1, 1])
    expect(bins.reduce((sum, { samples }) => sum + samples, 0)).toBe(4)
    expect(bins[14].samples).toBe(2)
  })
})

describe('predictions', () => {
  it('softmax is invariant to a shift and survives large logits', () => {
    const { probabilities } = softmaxRows([1000, 1001, -5, -4], 2, 2)
    const p = 1 / (1 + Math.exp(-1))
    for (const i of [1, 3]) expect(probabilities[i]).toBeCloseTo(p, 14)
  })

  it('entropy runs from 0 to ln classes', () => {
    const even: Predictions = { probabilities: new Float64Array(5).fill(0.2), samples: 1, classes: 5 }
    expect(entropies(even)[0]).toBeCloseTo(Math.log(5), 14)
    expect(entropies(binary([1, 0]))).toEqual(Float64Array.of(0, 0))
    expect(entropies(binary([0.25]))[0]).toBeCloseTo(-0.25 * Math.log(0.25) - 0.75 * Math.log(0.75), 14)
  })

  it('the mean of several draws is the mean of their probabilities', () => {
    expect([...meanPrediction([binary([0.25, 1]), binary([0.75, 0])]).probabilities]).toEqual([
      0.5, 0.5, 0.5, 0.5,
    ])
  })

  it('likelihood and accuracy of a hand-made case', () => {
    const predictions = binary([0.75, 0.25, 0.5])
    expect(negativeLogLikelihood(predictions, [1, 1, 0])).toBeCloseTo(
      -(Math.log(0.75) + Math.log(0.25) + Math.log(0.5)) / 3,
      14,
    )
    expect(accuracyOf(predictions, [1, 1, 0])).toBeCloseTo(2 / 3, 14)
  })
})

describe('area under the ROC curve', () => {
  it('is 1 for perfect separation, 0 for its reverse, one half for equal numbers', () => {
    expect(areaUnderRoc([3, 4], [1, 2])).toBe(1)
    expect(areaUnderRoc([1, 2], [3, 4])).toBe(0)
    expect(areaUnderRoc([5, 5], [5, 5, 5])).toBe(0.5)
  })

  it('is the fraction of pairs in the right order, ties counted half', () => {
    const numbers = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(numbers, numbers, (positives, negatives) => {
        let right = 0
        for (const p of positives) for (const n of negatives) right += p > n ? 1 : p === n ? 0.5 : 0
        expect(areaUnderRoc(positives, negatives)).toBeCloseTo(
          right / (positives.length * negatives.length),
          12,
        )
      }),
    )
  })
})
