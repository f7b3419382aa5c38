// `flicker study RECIPE`: trains, measures and reports.

import path from 'node:path'
import { Command } from 'commander'
import { packagedRecipes } from '../recipes/recipe-file.js'
import { readRecipe } from '../study/recipe.js'
import { renderTable } from '../study/report/index.js'
import type { StudyResults } from '../study/results.js'
import { needsPortableRecipe, type StudyEvent, study } from '../study/study.js'
import type { MetricsExport } from '../train/index.js'
import {
  boardPortOption,
  logOption,
  sampleTokensOption,
  WATCHED_SAMPLE_TOKENS,
  watch,
  watchOption,
} from './board.js'
import {
  allowCodeOption,
  corpusOption,
  jsonOption,
  seedOption,
  threadsOption,
  trainedTokenizerOption,
} from './options.js'
import {
  type Bar,
  colorful,
  duration,
  interruptible,
  log,
  print,
  printable,
  printJson,
  printStyled,
  progressBar,
} from './terminal.js'

interface StudyFlags {
  out?: string
  corpus?: string
  tokenizer?: string
  fresh?: boolean
  seed?: number
  allowCode?: boolean
  watch?: boolean
  boardPort?: number
  sampleTokens?: number
  log?: MetricsExport[]
  json?: boolean
}

export function studyCommand(): Command {
  return new Command('study')
    .description('train every run of a recipe, measure, and write results and a report')
    .argument(
      '<recipe>',
      `YAML file, or the name of one that comes with the package: ${packagedRecipes('recipes').join(', ')}`,
    )
    .option('--out <directory>', 'where runs and results go (default: runs/<name of the recipe>)')
    .addOption(corpusOption("file or directory instead of the recipe's corpus"))
    .addOption(trainedTokenizerOption(", instead of the recipe's"))
    .addOption(seedOption("instead of the recipe's training.seed"))
    .addOption(threadsOption())
    .option('--fresh', 'train and measure again what is finished')
    .addOption(allowCodeOption())
    .addOption(watchOption())
    .addOption(boardPortOption())
    .addOption(sampleTokensOption())
    .addOption(logOption())
    .addOption(jsonOption('print results.json on stdout and nothing else there'))
    .addHelpText(
      'after',
      `
An interrupted study resumes when the same command is given again.

Examples:
  flicker study quick
  flicker study recipes/shakespeare.yaml --corpus tinyshakespeare.txt
  flicker study quick --out /tmp/again --fresh --json`,
    )
    .action(async (file: string, flags: StudyFlags) => {
      const portable = needsPortableRecipe()
      const recipe = readRecipe(file, { portable, allowCode: flags.allowCode })
      if (portable)
        log(`flicker: no native kernels here: the smaller variant of ${path.basename(file)} is used`)
      if (flags.corpus !== undefined) recipe.corpus = flags.corpus
      if (flags.tokenizer !== undefined) recipe.tokenizer = flags.tokenizer
      if (flags.seed !== undefined) recipe.training.seed = flags.seed
      const directory = flags.out ?? path.join('runs', recipe.name)
      const unwatch = watch(directory, flags.watch === true ? flags.boardPort : undefined)
      const results = await study(recipe, {
        directory,
        fresh: flags.fresh,
        log: flags.log,
        sampleTokens: flags.sampleTokens ?? (flags.watch === undefined ? 0 : WATCHED_SAMPLE_TOKENS),
        signal: interruptible(),
        onEvent: narrator(),
        onNotice: notice => log(`flicker: ${notice}`),
      }).finally(unwatch)
      if (flags.json === true) return printJson(results)
      printStyled(
        renderTable(withPrintableLabels(results), { width: process.stdout.columns, color: colorful() }),
      )
      print(`\nreport: ${path.join(directory, 'report.html')}`)
    })
}

/** The table is printed as it is, with its colors; labels come from the recipe. */
function withPrintableLabels(results: StudyResults): StudyResults {
  return { ...results, runs: results.runs.map(run => ({ ...run, label: printable(run.label) })) }
}

/** Says on stderr what a study does. */
function narrator(): (event: StudyEvent) => void {
  let bar: Bar | null = null
  let title = ''
  return event => {
    if (event.kind === 'data') {
      const { description, tokenizer, train, validation } = event.data
      log(`corpus: ${description}`)
      log(
        `tokenizer: ${tokenizer.name}; ${count(train.length)} tokens to train on, ${count(validation.length)} held out`,
      )
    } else if (event.kind === 'run') {
      title = `[${event.index + 1}/${event.runs}] ${event.run.label ?? event.run.name}`
      if (event.beginning !== undefined) {
        const { run, step } = event.beginning
        log(`${title}: its first ${step} steps are those of ${run.label ?? run.name}`)
      }
    } else if (event.kind === 'step') {
      const { step, steps, loss, tokensPerSecond, secondsLeft, activation } = event.progress
      bar ??= progressBar(title, steps)
      bar.update(
        step,
        `loss ${loss.toFixed(3)} · ${activation} · ${count(tokensPerSecond)} tokens/s · ${duration(secondsLeft)} left`,
      )
    } else if (event.kind === 'measuring') {
      bar?.stop()
      bar = null
      log(`${title}: trained; measuring`)
    } else if (event.kind === 'answering') {
      const { task, done, total } = event.progress
      bar ??= progressBar(`${title}: questions`, total)
      bar.update(done, task)
      if (done === total) {
        bar.stop()
        bar = null
      }
    } else {
      const { final, trainSeconds } = event.result
      const zeros = (100 * mean(final.sparsity)).toFixed(1)
      const note = event.again ? 'finished before' : `trained in ${duration(trainSeconds)}`
      log(`${title}: validation loss ${final.loss.toFixed(4)}, ${zeros} % zeros (${note})`)
    }
  }
}

function count(n: number): string {
  return Math.round(n).toLocaleString('en-US')
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}
