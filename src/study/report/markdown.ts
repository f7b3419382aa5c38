// results.md: the study's numbers and samples for a repository, a pull request or a terminal.

import { MISSING, percent } from '../../report/numbers.js'
import { visibleLine, visibleText } from '../../report/visible-text.js'
import type { StudyResults } from '../results.js'
import { findings } from './findings.js'
import { rerunCommand, rerunFacts } from './rerun.js'
import { type Column, describeSample, describeStudy, summarize, TASKS_NOTE } from './summary.js'

export function renderMarkdown(results: StudyResults): string {
  const { runs } = results
  const { quality, tasks, speed } = summarize(results)
  const labels = runs.map(run => escaped(run.label))
  const layers = Math.max(0, ...runs.map(run => run.final.sparsity.length))
  const blocks = [
    `# ${escaped(results.title)}`,
    ...describeStudy(results).map(escaped),
    findings(results)
      .map(sentence => `- ${escaped(sentence)}`)
      .join('\n'),
    '## Quality',
    table(labels, quality),
    tasks.length > 0 ? '## Benchmarks' : '',
    tasks.length > 0 ? table(labels, tasks) : '',
    tasks.length > 0 ? escaped(TASKS_NOTE) : '',
    speed.length > 0 ? '## Decoding speed' : '',
    speed.length > 0 ? table(labels, speed) : '',
    '## Sparsity per layer',
    table(
      labels,
      Array.from({ length: layers }, (_, layer) => ({
        group: '',
        title: `layer ${layer}`,
        minor: false,
        cells: runs.map(({ final }) => ({
          text: layer < final.sparsity.length ? percent(final.sparsity[layer]) : MISSING,
          best: false,
        })),
      })),
    ),
    '## Runs',
    runs.map((run, i) => `- **${labels[i]}**: ${escaped(run.description)}`).join('\n'),
    '## Samples',
    ...runs.flatMap((run, i) => [
      `### ${labels[i]}`,
      ...run.samples.flatMap(sample => [
        escaped(describeSample(sample)),
        fenced(sample.prompt + sample.text),
      ]),
    ]),
    '## Run it again',
    fenced(rerunCommand(results)),
    rerunFacts(results)
      .map(([key, value]) => `- ${key}: ${escaped(value)}`)
      .join('\n'),
    ...(results.recipe === undefined ? [] : ['The recipe:', fenced(results.recipe)]),
  ]
  return `${blocks.filter(block => block !== '').join('\n\n')}\n`
}

function table(labels: readonly string[], columns: readonly Column[]): string {
  const titles = columns.map(({ group, title }) => escaped(group === '' ? title : `${group}: ${title}`))
  const rows = labels.map((label, i) => [
    label,
    ...columns.map(({ cells }) => (cells[i].best ? `**${cells[i].text}**` : cells[i].text)),
  ])
  const lines = [['run', ...titles], ['---', ...columns.map(() => '--:')], ...rows]
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** Text on one line in which nothing is Markdown or HTML. */
function escaped(text: string): string {
  return visibleLine(text).replace(/[\\`*_[\]<>|#~&]/g, '\\$&')
}

/** A code block whose fence is longer than any run of backticks inside. */
function fenced(text: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(run => run.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}text\n${visibleText(text).trimEnd()}\n${fence}`
}
