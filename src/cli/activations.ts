// `flicker activations [NAME]`: the catalog as a table, one entry in full, its plot.

import path from 'node:path'
import { Command } from 'commander'
import { parseActivation } from '../activations/index.js'
import { OptionError } from '../errors.js'
import { writeFileAtomic } from '../formats/index.js'
import { curvesOf } from '../gallery/curves.js'
import { type CatalogEntry, catalogEntries, catalogEntry, catalogPage, pictureFile } from '../gallery/page.js'
import { terminalPlot } from '../gallery/terminal-plot.js'
import { allowCodeOption, jsonOption } from './options.js'
import { log, print, printJson } from './terminal.js'

interface ActivationsFlags {
  plot?: string
  docs?: string
  json?: boolean
}

export function activationsCommand(): Command {
  return new Command('activations')
    .description('the catalog of activations: a table, or one entry with formula, source and plot')
    .argument('[name]', 'an activation as it is typed elsewhere, e.g. relu or stocha:p=0.3')
    .addOption(allowCodeOption())
    .option('--plot <file>', 'write the picture of the entry as .svg or .png')
    .option('--docs <directory>', 'write the catalog as a page, activations.md, with a picture of each')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  flicker activations
  flicker activations silu
  flicker activations stocha:p=0.3 --plot stocha.png
  flicker activations --json`,
    )
    .action(async (name: string | undefined, flags: ActivationsFlags) => {
      if (flags.docs !== undefined) return writeDocs(flags.docs)
      if (name === undefined) {
        if (flags.plot !== undefined) {
          throw new OptionError(
            'OPTION_INVALID',
            '--plot draws one activation; say which: flicker activations silu --plot silu.svg',
          )
        }
        const entries = catalogEntries()
        return flags.json === true ? printJson({ activations: entries }) : printTable(entries)
      }
      const entry = catalogEntry(name)
      if (flags.plot !== undefined) {
        const { activationFigure, savePlot } = await drawing()
        savePlot(activationFigure(parseActivation(name), 560), flags.plot)
        log(`plot: ${flags.plot}`)
      }
      return flags.json === true ? printJson(entry) : printEntry(entry)
    })
}

/** What draws figures takes a second to load, and most commands draw none. */
async function drawing() {
  return { ...(await import('../gallery/figure.js')), ...(await import('../report/save-plot.js')) }
}

function printTable(entries: readonly CatalogEntry[]): void {
  const width = Math.max(...entries.map(entry => entry.name.length))
  const room = Math.max(40, Math.min(process.stdout.columns ?? 110, 140)) - width - 26
  print(`${'name'.padEnd(width)}  zeros  draws  learned  character`)
  print('─'.repeat(width + 26 + Math.min(room, 60)))
  for (const { name, exactZeros, draws, learned, character } of entries) {
    const mark = (value: boolean) => (value ? 'yes' : '')
    const text = character.length <= room ? character : `${character.slice(0, room - 1)}…`
    print(
      `${name.padEnd(width)}  ${mark(exactZeros).padEnd(5)}  ${mark(draws).padEnd(5)}  ${mark(learned.length > 0).padEnd(7)}  ${text}`,
    )
  }
  print(`\n${entries.length} activations; flicker activations NAME shows one: formula, source and plot.`)
}

function printEntry(entry: CatalogEntry): void {
  const rows: [string, string][] = [
    ['f(x)', entry.formula],
    ["f'(x)", entry.derivativeFormula],
    ...(entry.surrogate === undefined
      ? []
      : ([['', `not the derivative of f: ${entry.surrogate}`]] as [string, string][])),
    ['character', entry.character],
    [
      'exact zeros',
      entry.exactZeros ? 'yes: the engine skips them' : 'no: sparse decoding has nothing to skip',
    ],
    ['draws', entry.draws ? 'yes' : 'no'],
    ['kernel', entry.fused ? 'fused' : 'generic (vectorized program)'],
    ...entry.parameters.map(({ name, about, allowed }): [string, string] => [
      `:${name}=`,
      `${about}; ${allowed}`,
    ]),
    ...entry.learned.map(({ name, about, per }): [string, string] => [
      `learned ${name}`,
      `${about}; one per ${per}`,
    ]),
    ['source', entry.source],
  ]
  print(`${entry.spec}\n`)
  print(terminalPlot(curvesOf(parseActivation(entry.spec)), process.stdout.columns ?? 80))
  const width = Math.max(...rows.map(([key]) => key.length))
  print(`\n${rows.map(([key, text]) => `${key.padEnd(width)}  ${text}`).join('\n')}`)
}

async function writeDocs(directory: string): Promise<void> {
  const { activationFigure, savePlot } = await drawing()
  for (const { name, spec } of catalogEntries()) {
    savePlot(activationFigure(parseActivation(spec)), path.join(directory, pictureFile(name)))
  }
  writeFileAtomic(path.join(directory, 'activations.md'), catalogPage())
  log(`written: ${path.join(directory, 'activations.md')}`)
}
