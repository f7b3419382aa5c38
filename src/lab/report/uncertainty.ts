// Many draws at test time: calibration of their mean prediction, and whether its entropy tells points far from the data.

import type { Markup } from '../../report/markup.js'
import { runStyle } from '../../report/palette.js'
import { type FigureOptions, isWide, type Range, sideBySide } from '../../report/plot.js'
import { spreadOf } from '../../statistics.js'
import type { LabResults } from '../results.js'
import type { Uncertainty } from '../uncertainty.js'
import { type BandLine, bandLines, roomAround } from './band-lines.js'
import { overRuns } from './curves.js'

type Quantity = 'calibrationError' | 'farAuroc'

const panels = [
  {
    of: 'calibrationError',
    title: 'Calibration of the mean of several draws',
    yLabel: 'expected calibration error',
  },
  {
    of: 'farAuroc',
    title: 'Does entropy reveal far points?',
    yLabel: 'AUROC (below 0.5: far points look surer)',
  },
] as const

export function uncertaintyFigure(results: LabResults, options: FigureOptions): Markup {
  const asked = results.variants.flatMap(({ label, runs }, index): Asked[] => {
    const uncertainties = runs.flatMap(({ uncertainty }) => uncertainty ?? [])
    return uncertainties.length === 0 ? [] : [{ label, index, uncertainties }]
  })
  const most = Math.max(
    ...asked.flatMap(({ uncertainties }) => uncertainties[0].atDraws.map(({ draws }) => draws)),
  )
  const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000].filter(n => n <= most)
  const wide = isWide(options)
  const width = wide ? Math.floor(options.width / 2) - 8 : options.width
  const drawings = panels.map(({ of, title, yLabel }) => {
    const lines = asked.map(one => line(one, of, most))
    const values = lines.flatMap(({ points }) => points.flatMap(({ mean, std }) => [mean - std, mean + std]))
    return bandLines(lines, {
      width,
      id: `${options.id}-${of}`,
      title,
      subtitle: overRuns(results.seeds.length),
      ariaLabel: '',
      xLabel: 'draws per sample',
      x: [1, most],
      xTicks: ticks,
      logX: true,
      yLabel,
      y: of === 'calibrationError' ? fromZero(roomAround(values)) : roomAround(values),
      // Half the width has room for names on one side of it only where the drawing is wide.
      namesAtLines: wide,
    })
  })
  return sideBySide(drawings, {
    ...options,
    panelWidth: width,
    ariaLabel: `Calibration error and detection of far points over the number of draws, for ${asked.map(({ label }) => label).join(', ')}`,
  })
}

/** A variant whose runs were asked, and where it stands among all. */
interface Asked {
  readonly label: string
  readonly index: number
  readonly uncertainties: readonly Uncertainty[]
}

function line({ label, index, uncertainties }: Asked, of: Quantity, most: number): BandLine {
  const points = uncertainties[0].atDraws.map(({ draws }, i) => ({
    x: draws,
    ...spreadOf(uncertainties.map(({ atDraws }) => atDraws[i][of])),
  }))
  // What never changes from draw to draw is a level line.
  const [only] = points
  return {
    label,
    style: runStyle(index),
    points: points.length === 1 ? [only, { ...only, x: most }] : points,
  }
}

function fromZero([, high]: Range): Range {
  return [0, high]
}
