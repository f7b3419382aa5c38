// The report of an experiment as files: every figure as SVG and PNG, and the page.

import path from 'node:path'
import { writeFileAtomic } from '../../formats/atomic.js'
import { savePlot } from '../../report/save-plot.js'
import type { LabResults } from '../results.js'
import { labFigures } from './figures.js'
import { renderLabPage } from './page.js'

/** Width of figures that are files. */
const FILE_WIDTH = 900

/**
 * Writes every figure as SVG and PNG into `directory`/plots, and report.html into `directory`; returns the files.
 * Throws StorageError.
 */
export function saveLabReport(results: LabResults, directory: string): string[] {
  const figures = labFigures(results)
  const files = figures.flatMap(figure => {
    const drawing = figure.draw({ width: FILE_WIDTH, id: figure.name.replace(/[^a-z0-9-]/gi, '-') })
    return ['svg', 'png'].map(format => {
      const file = path.join(directory, 'plots', `${figure.name}.${format}`)
      savePlot(drawing, file)
      return file
    })
  })
  const page = path.join(directory, 'report.html')
  writeFileAtomic(page, renderLabPage(results, figures))
  return [...files, page]
}
