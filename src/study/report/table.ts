// The console table: quality above, decoding speed below, columns aligned, within the width of the terminal.

import { displayWidth, shorten, visibleLine } from '../../report/visible-text.js'
import type { StudyResults } from '../results.js'
import { findings } from './findings.js'
import { type Column, summarize } from './summary.js'

export interface TableOptions {
  /** Columns of the terminal; 100 by default, at least 60 and at most 120 are used. */
  readonly width?: number
  /** Bold for the best of a column; off by default. */
  readonly color?: boolean
}

const GAP = '  '
const LEAST_LABEL = 12
const LONGEST_TITLE_WORD = 12

/** No line is wider than `width`; labels are shortened and minor columns left out where they do not fit. */
export function renderTable(results: StudyResults, options: TableOptions = {}): string {
  const width = Math.max(60, Math.min(options.width ?? 100, 120))
  const labels = results.runs.map(run => visibleLine(run.label))
  const { quality, tasks, speed } = summarize(results)
  const tables = [
    withoutMinor(quality, width),
    ...besideEachOther(tasks, width),
    ...besideEachOther(speed, width),
  ].map(columns => block(labels, columns, width, options.color === true))
  const sentences = findings(results).flatMap(sentence => wrapped(sentence, width))
  return [shorten(visibleLine(results.title), width), ...tables, sentences.join('\n')]
    .filter(part => part !== '')
    .join('\n\n')
}

/** `columns` without as many minor ones, from the left, as must go to fit. */
function withoutMinor(columns: readonly Column[], width: number): readonly Column[] {
  const minor = columns.find(column => column.minor)
  if (minor === undefined || fits(columns, width)) return columns
  return withoutMinor(
    columns.filter(column => column !== minor),
    width,
  )
}

/** Groups of columns in as few tables as hold them. */
function besideEachOther(columns: readonly Column[], width: number): Column[][] {
  const tables: Column[][] = []
  for (const name of new Set(columns.map(column => column.group))) {
    const group = columns.filter(column => column.group === name)
    const last = tables.at(-1)
    if (last !== undefined && fits([...last, ...group], width)) last.push(...group)
    else tables.push(group)
  }
  return tables
}

function fits(columns: readonly Column[], width: number): boolean {
  return LEAST_LABEL + takenBy(columns) <= width
}

function takenBy(columns: readonly Column[]): number {
  return columns.reduce((sum, column) => sum + GAP.length + columnWidth(column), 0)
}

function columnWidth({ title, cells }: Column): number {
  return Math.max(...titleWords(title).map(displayWidth), ...cells.map(cell => displayWidth(cell.text)))
}

function titleWords(title: string): string[] {
  return title.split(' ').map(word => shorten(word, LONGEST_TITLE_WORD))
}

function block(labels: readonly string[], columns: readonly Column[], width: number, color: boolean): string {
  const room = width - takenBy(columns)
  const first = Math.min(room, Math.max(3, ...labels.map(displayWidth)))
  const heads = columns.map(column => wrapped(titleWords(column.title).join(' '), columnWidth(column)))
  const height = Math.max(...heads.map(lines => lines.length))
  const lines: string[] = []
  const groups = groupLine(columns, first)
  if (groups !== '') lines.push(groups)
  for (let i = 0; i < height; i++) {
    const cells = heads.map((head, c) =>
      padStart(head[i - height + head.length] ?? '', columnWidth(columns[c])),
    )
    lines.push([padEnd(i === height - 1 ? 'run' : '', first), ...cells].join(GAP))
  }
  lines.push('─'.repeat(first + takenBy(columns)))
  for (const [i, label] of labels.entries()) {
    const cells = columns.map(column => {
      const { text, best } = column.cells[i]
      const padding = ' '.repeat(columnWidth(column) - displayWidth(text))
      return padding + (best && color ? `\u001B[1m${text}\u001B[22m` : text)
    })
    lines.push([padEnd(shorten(label, first), first), ...cells].join(GAP))
  }
  return lines.join('\n')
}

/** The names of groups over their columns; empty when there are none. */
function groupLine(columns: readonly Column[], first: number): string {
  let line = ''
  let at = first
  for (const [c, column] of columns.entries()) {
    if (column.group !== '' && columns[c - 1]?.group !== column.group) {
      const size = takenBy(columns.filter(other => other.group === column.group)) - GAP.length
      line = padEnd(line, at + GAP.length) + padStart(shorten(column.group, size), size)
    }
    at += GAP.length + columnWidth(column)
  }
  return line
}

function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text
}

function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}

/** `text` in lines of at most `width`, broken at spaces. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && displayWidth(last) + 1 + displayWidth(word) <= width) {
      lines[lines.length - 1] = `${last} ${word}`
    } else {
      lines.push(shorten(word, width))
    }
  }
  return lines
}
