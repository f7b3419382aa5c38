// Which speed-ups a study marks as the best of their column.

import { expect, it } from 'vitest'
import { bestRatios } from '../../../src/study/report/findings.js'

const ratio = (median: number, low: number, high: number) => ({ median, low, high, confidence: 0.97 })

it('are those above 1 beyond noise that cannot be told from the highest', () => {
  const slower = ratio(0.98, 0.89, 1.14)
  // Its interval reaches that of the highest, and still it is no speed-up.
  expect([...bestRatios([null, slower, ratio(1.14, 1.07, 1.38)])]).toEqual([2])
  expect([...bestRatios([ratio(1.2, 1.1, 1.3), ratio(1.4, 1.25, 1.5), ratio(1.05, 1.01, 1.1)])]).toEqual([
    0, 1,
  ])
})

it('are none where nothing is faster, or nothing can be told apart', () => {
  expect(bestRatios([null, ratio(0.98, 0.89, 1.14), ratio(0.7, 0.6, 0.8)]).size).toBe(0)
  expect(bestRatios([ratio(1.2, 1.1, 1.3), ratio(1.25, 1.15, 1.4)]).size).toBe(0)
})
