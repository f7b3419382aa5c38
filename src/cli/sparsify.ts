// `flicker sparsify`: arguments and printing.

import { existsSync } from 'node:fs'
import path from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { OptionError } from '../errors.js'
import { openModel, writeFileAtomic } from '../formats/index.js'
import { shown } from '../schema-issues.js'
import { isApplicable, METHOD_NAMES, METHODS, type MethodName } from '../sparsify/methods.js'
import { type SparsifyResult, sparsify } from '../sparsify/sparsify.js'
import { DEFAULT_LEVELS, type SweepResults, sweep } from '../sparsify/sweep.js'
import { renderSweep } from '../sparsify/sweep-report.js'
import {
  choiceOption,
  dtypeOption,
  integer,
  jsonOption,
  modelOption,
  number,
  numbers,
  splitList,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { phaseProgress } from './phase-progress.js'
import { log, print, printJson } from './terminal.js'

interface SparsifyFlags {
  readonly model: string
  readonly method?: MethodName
  readonly sparsity?: number
  readonly calibrate: string
  readonly tokens: number
  readonly heldOut?: string
  readonly context?: number
  readonly dtype: 'auto'
  readonly tokenizer?: string
  readonly out: string
  readonly force?: boolean
  readonly sweep?: boolean
  readonly methods?: MethodName[]
  readonly levels?: number[]
  readonly measureTokens?: number
  readonly json?: boolean
}

export function sparsifyCommand(): Command {
  const methods = METHOD_NAMES.map(name => `  ${name.padEnd(7)}${ABOUT[name]}`).join('\n')
  return new Command('sparsify')
    .description('make an existing model sparse without training: approximate, and says so wherever it runs')
    .addOption(modelOption())
    .addOption(choiceOption('--method <name>', 'what is set to 0 (see below)', METHOD_NAMES))
    .option(
      '--sparsity <fraction>',
      'above 0 and below 1: of the neurons (cats, chess, cett) or of the weights of all layers (the others)',
      number,
    )
    .requiredOption(
      '--calibrate <file>',
      'text like that to come, plain or gzipped: thresholds are taken from it',
    )
    .option('--tokens <n>', 'tokens of the calibration text', integer(1), 65_536)
    .option(
      '--held-out <file>',
      'text to measure on (default: what follows the calibration text in its file)',
    )
    .option(
      '--context <n>',
      "tokens per window when measuring (default: the model's context, at most 1024)",
      integer(2),
    )
    .option('--measure-tokens <n>', 'tokens measured, at most (default: 16384)', integer(1))
    .option('--sweep', 'measure all methods over levels and write a report instead of a model')
    .option('--methods <names>', 'methods of a sweep (default: all that can cut this model)', methodList)
    .option('--levels <fractions>', 'levels of a sweep (default: 0.1 to 0.9)', numbers)
    .addOption(dtypeOption())
    .addOption(tokenizerOption())
    .requiredOption('--out <directory>', 'where the model is written; with --sweep the report')
    .option('--force', 'replace the model that is there')
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Methods:
${methods}

The result is a copy of the model with its thresholds in cuts.safetensors. flicker generate applies them to the tokens that
it generates (--sparse-prompt: to the prompt too) and with --exact not at all; other programs run the weights as they are.

Examples:
  flicker sparsify --model runs/quick/silu --method teal --sparsity 0.5 --calibrate book.txt --out silu-teal
  flicker sparsify --model runs/quick/silu --method cats --sparsity 0.5 --calibrate book.txt --tokens 20000 --out silu-cats
  flicker sparsify --model runs/quick/silu --sweep --calibrate book.txt --tokens 20000 --levels 0.25,0.5 --out sweep
  flicker generate --model silu-teal --prompt "The " --stats
  flicker generate --model silu-teal --prompt "The " --exact`,
    )
    .action((flags: SparsifyFlags) => {
      const { method, sparsity, json, model, ...options } = flags
      if (flags.sweep === true) {
        runSweep(flags)
        return
      }
      if (method === undefined || sparsity === undefined) {
        throw new OptionError(
          'METHOD_MISSING',
          'give --method and --sparsity, as in --method teal --sparsity 0.5',
        )
      }
      const source = openModel(model, { tokenizer: flags.tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      const { onProgress, stop } = phaseProgress()
      let result: SparsifyResult
      try {
        result = sparsify(source, { ...options, method, sparsity, onProgress })
      } finally {
        stop()
        source.close()
      }
      if (json === true) printJson(result)
      else printResult(flags.out, result)
    })
}

function runSweep({
  model,
  methods,
  levels = DEFAULT_LEVELS,
  out,
  force,
  json,
  ...options
}: SparsifyFlags): void {
  if (force !== true && existsSync(out)) {
    throw new OptionError(
      'DESTINATION_EXISTS',
      `${out} exists; give --force to write into it, or another name`,
    )
  }
  const source = openModel(model, { tokenizer: options.tokenizer })
  for (const note of source.notes) log(`flicker: ${note}`)
  const chosen = methods ?? METHOD_NAMES.filter(name => isApplicable(METHODS[name], source.config))
  const { onProgress, stop } = phaseProgress()
  let results: SweepResults
  try {
    results = sweep(source, {
      ...options,
      methods: chosen,
      levels: levels.toSorted((a, b) => a - b),
      onProgress,
    })
  } finally {
    stop()
    source.close()
  }
  writeFileAtomic(path.join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileAtomic(path.join(out, 'report.html'), renderSweep(results))
  if (json === true) {
    printJson(results)
    return
  }
  print(`perplexity without cuts ${results.dense.perplexity.toFixed(3)}; every position cut:`)
  print('method  level  weights not needed  perplexity  speed over dense')
  for (const { method, level, weightsSkipped, perplexity, speedRatio } of results.points) {
    print(
      `${method.padEnd(7)} ${level.toFixed(2)}  ${percent(weightsSkipped).padStart(18)}  ${perplexity.toFixed(3).padStart(10)}  ${speedRatio.toFixed(2).padStart(16)}`,
    )
  }
  print(`report  ${path.join(out, 'report.html')}`)
}

function methodList(text: string): MethodName[] {
  return splitList(text).map(name => {
    const method = METHOD_NAMES.find(known => known === name)
    if (method !== undefined) return method
    throw new InvalidArgumentError(`must be methods, of ${METHOD_NAMES.join(', ')}, not ${shown(name)}`)
  })
}

const ABOUT: Readonly<Record<MethodName, string>> = {
  cats: '|activation(gate)| below a threshold per layer: up rows and down columns of these neurons are skipped',
  chess: 'as cats, each threshold divided by the mean |up| of its neuron',
  cett: 'neurons whose contribution to the output is short: their down columns are skipped; one error for all layers',
  teal: 'inputs of all seven matrices below a threshold each; levels by a greedy search',
  wina: 'as teal, the largest inputs at each token stay; those of k and gate weighted by the norms of their columns',
  rsparse:
    'inputs weighted by the norms of columns, below a threshold for each matrix; a low-rank term for the rest',
  larosa:
    'the largest inputs at each token in rotated axes stay; the rotation is one more small matrix per half layer',
}

function printResult(out: string, { method, level, counts, calibration, measured }: SparsifyResult): void {
  const { title, source } = METHODS[method]
  print(`model          ${out}: approximate, cut by ${title} (${source})`)
  print(
    `sparsity       ${percent(level)} of the ${counts} asked for, on ${calibration.tokens} tokens of calibration text`,
  )
  if (measured === null) {
    print('measured       not: too little text follows the calibration text; give --held-out FILE')
    return
  }
  const { tokens, context, perplexity, densePerplexity, weightsSkipped } = measured
  print(`held-out text  ${tokens} tokens in windows of ${context}, every position cut`)
  print(`perplexity     ${perplexity.toFixed(3)}, without cuts ${densePerplexity.toFixed(3)}`)
  print(`weights        ${percent(weightsSkipped)} of the layers' weights not needed, counted per token`)
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`
}
