// The table at the end: where each variant stands after its last epoch.

import { fixed, percent } from '../../report/numbers.js'
import { displayWidth, shorten, visibleLine } from '../../report/visible-text.js'
import type { Spread } from '../../statistics.js'
import { finalNumbers, isDiverged, type LabResults, type VariantResult } from '../results.js'

export interface TableColumn {
  readonly title: string
  /** One text per variant. */
  readonly cells: readonly string[]
}

/** The numbers of the console's and the page's table; gates only where a variant has one. */
export function tableColumns({ variants, data }: Pick<LabResults, 'variants' | 'data'>): TableColumn[] {
  const finals = variants.map(finalNumbers)
  // A mean over runs of which some diverged says nothing.
  const diverged = variants.map(({ runs }) => {
    const count = runs.filter(run => isDiverged(run, data.classes)).length
    return count === 0 ? null : runs.length === 1 ? 'diverged' : `${count} of ${runs.length} diverged`
  })
  // One run has no deviation to speak of.
  const several = variants.some(({ runs }) => runs.length > 1)
  const within = (deviation: string) => (several ? ` ± ${deviation}` : '')
  const losses = ({ mean, std }: Spread) => fixed(mean, 3) + within(fixed(std, 3))
  const shares = ({ mean, std }: Spread) =>
    several ? `${fixed(100 * mean, 1)} ± ${percent(std)}` : percent(mean)
  const weights = (spread: Spread | null) =>
    spread === null ? '' : fixed(spread.mean, 2) + within(fixed(spread.std, 2))
  const columns = [
    { title: 'train loss', cells: finals.map(({ trainLoss }, i) => diverged[i] ?? losses(trainLoss)) },
    {
      title: 'validation loss',
      cells: finals.map(({ validationLoss }, i) => diverged[i] ?? losses(validationLoss)),
    },
    { title: 'accuracy', cells: finals.map(({ accuracy }) => shares(accuracy)) },
    { title: 'sparsity', cells: finals.map(({ sparsity }) => shares(sparsity)) },
    { title: 'gate (ReLU)', cells: finals.map(({ gate }) => weights(gate)) },
    { title: 'calibration error', cells: variants.map(calibration) },
  ]
  return columns.filter(({ cells }) => cells.some(cell => cell !== ''))
}

/** At the largest number of draws, mean over runs. */
function calibration({ runs }: VariantResult): string {
  const errors = runs.flatMap(({ uncertainty }) => uncertainty?.atDraws.at(-1)?.calibrationError ?? [])
  return errors.length === 0 ? '' : fixed(errors.reduce((sum, each) => sum + each, 0) / errors.length, 3)
}

const GAP = '  '

/** Without as many of the columns that can be missed, from the last, as must go to fit into `room`. */
function fitting(columns: readonly TableColumn[], room: number): readonly TableColumn[] {
  const taken = columns.reduce(
    (sum, { title, cells }) => sum + 2 + Math.max(...[title, ...cells].map(displayWidth)),
    0,
  )
  const missable = columns.findLast(({ title }) => title === 'train loss' || title === 'calibration error')
  if (taken <= room || missable === undefined) return columns
  return fitting(
    columns.filter(column => column !== missable),
    room,
  )
}

/** For the console: no line wider than `width` as long as names can be shortened. */
export function renderLabTable(results: LabResults, width = 100): string {
  const labels = results.variants.map(({ label }) => visibleLine(label))
  const columns = fitting(tableColumns(results), width - Math.max(...labels.map(displayWidth)))
  const widths = columns.map(({ title, cells }) => Math.max(...[title, ...cells].map(displayWidth)))
  const taken = widths.reduce((sum, each) => sum + GAP.length + each, 0)
  const first = Math.max(10, Math.min(width - taken, Math.max(10, ...labels.map(displayWidth))))
  const padded = (text: string, room: number) => ' '.repeat(Math.max(0, room - displayWidth(text))) + text
  const line = (label: string, cells: readonly string[]) => {
    const name = shorten(label, first)
    return [
      name + ' '.repeat(Math.max(0, first - displayWidth(name))),
      ...cells.map((cell, c) => padded(cell, widths[c])),
    ].join(GAP)
  }
  return [
    line(
      'activation',
      columns.map(({ title }) => title),
    ),
    '─'.repeat(first + taken),
    ...labels.map((label, i) =>
      line(
        label,
        columns.map(({ cells }) => cells[i]),
      ),
    ),
  ].join('\n')
}
