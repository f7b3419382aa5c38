// `flicker sparsify`: arguments and printing.

import { Command } from 'commander'
import { OptionError } from '../errors.js'
import { openModel } from '../formats/index.js'
import { METHOD_NAMES, METHODS, type MethodName } from '../sparsify/methods.js'
import { type SparsifyResult, sparsify } from '../sparsify/sparsify.js'
import {
  choiceOption,
  dtypeOption,
  integer,
  jsonOption,
  modelOption,
  number,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { log, print, printJson, progressBar } from './terminal.js'

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
      'above 0 and below 1: of the neurons (cats, chess, cett) or of the weights of all layers (teal, wina)',
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
    .addOption(dtypeOption())
    .addOption(tokenizerOption())
    .requiredOption('--out <directory>', 'where the model is written')
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
  flicker generate --model silu-teal --prompt "The " --stats
  flicker generate --model silu-teal --prompt "The " --exact`,
    )
    .action((flags: SparsifyFlags) => {
      const { method, sparsity, json, model, ...options } = flags
      if (method === undefined || sparsity === undefined) {
        throw new OptionError(
          'METHOD_MISSING',
          'give --method and --sparsity, as in --method teal --sparsity 0.5',
        )
      }
      const source = openModel(model, { tokenizer: flags.tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      const { onProgress, stop } = progress()
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

const ABOUT: Readonly<Record<MethodName, string>> = {
  cats: '|activation(gate)| below a threshold per layer: up rows and down columns of these neurons are skipped',
  chess: 'as cats, each threshold divided by the mean |up| of its neuron',
  cett: 'neurons whose contribution to the output is short: their down columns are skipped; one error for all layers',
  teal: 'inputs of all seven matrices below a threshold each; levels by a greedy search',
  wina: 'as teal, the largest inputs at each token stay; those of k and gate weighted by the norms of their columns',
}

/** A bar for each phase in turn. */
function progress() {
  let bar: ReturnType<typeof progressBar> | undefined
  let phase = ''
  const stop = () => bar?.stop()
  return {
    stop,
    onProgress(label: string, done: number, all: number) {
      if (label !== phase) {
        stop()
        phase = label
        bar = progressBar(label, all)
      }
      bar?.update(done, `${done} of ${all}`)
    },
  }
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
