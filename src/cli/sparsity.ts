// `flicker sparsity`: arguments and printing.

import { existsSync } from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import { OptionError } from '../errors.js'
import { openModel, writeFileAtomic } from '../formats/index.js'
import { type LabResults, measureSparsity } from '../sparsify/lab/measure.js'
import { renderSparsityLab } from '../sparsify/lab/report.js'
import { integer, jsonOption, modelOption, threadsOption, tokenizerOption } from './options.js'
import { phaseProgress } from './phase-progress.js'
import { log, print, printJson } from './terminal.js'

interface SparsityFlags {
  readonly model: string
  readonly text: string
  readonly tokens: number
  readonly heldOut?: string
  readonly measureTokens: number
  readonly context?: number
  readonly tokenizer?: string
  readonly out: string
  readonly force?: boolean
  readonly json?: boolean
}

export function sparsityCommand(): Command {
  return new Command('sparsity')
    .description('measure which neurons of a model are active, and what leaving neurons out would cost')
    .addOption(modelOption())
    .requiredOption('--text <file>', 'text like that to come, plain or gzipped')
    .option('--tokens <n>', 'tokens that activity is counted on', integer(1), 16_384)
    .option('--held-out <file>', 'text to measure perplexity on (default: what follows those tokens)')
    .option('--measure-tokens <n>', 'tokens of each perplexity, at most', integer(1), 4096)
    .option('--context <n>', "tokens per window (default: the model's context, at most 1024)", integer(2))
    .addOption(tokenizerOption())
    .requiredOption('--out <directory>', 'where results.json and report.html are written')
    .option('--force', 'write into a directory that exists')
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Measured: exact zeros and quantiles of each layer; CETT and the sparsity at which perplexity rises by 1 % and 5 %; the largest
values at each token; firing rates, dead and hot neurons; aggregated sparsity and re-use over windows of tokens; neurons that
are active together.

Examples:
  flicker sparsity --model runs/quick/relu --text book.txt --out lab
  flicker sparsity --model runs/quick/silu --text book.txt --tokens 30000 --measure-tokens 8192 --out lab`,
    )
    .action((flags: SparsityFlags) => {
      const { model, out, force, json, tokenizer, ...options } = flags
      if (force !== true && existsSync(out)) {
        throw new OptionError(
          'DESTINATION_EXISTS',
          `${out} exists; give --force to write into it, or another name`,
        )
      }
      const source = openModel(model, { tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      const { onProgress, stop } = phaseProgress()
      let results: LabResults
      try {
        results = measureSparsity(source, { ...options, onProgress })
      } finally {
        stop()
        source.close()
      }
      const plain = JSON.stringify(
        results,
        (_, value) => (value instanceof Float64Array ? [...value] : value),
        2,
      )
      writeFileAtomic(path.join(out, 'results.json'), `${plain}\n`)
      writeFileAtomic(path.join(out, 'report.html'), renderSparsityLab(JSON.parse(plain)))
      if (json === true) printJson(JSON.parse(plain))
      else printResults(out, results)
    })
}

function printResults(out: string, results: LabResults): void {
  print(`active where   ${results.activeWhere}`)
  print('layer  exact zeros   active  never active      hot  unused by 16 tokens  active in the 16 before')
  for (const [i, { exactZeros, active, dead, hot, aggregated, reuse }] of results.layers.entries()) {
    print(
      `${String(i).padStart(5)}  ${percent(exactZeros).padStart(11)}  ${percent(active).padStart(7)}  ${percent(dead).padStart(12)}  ` +
        `${percent(hot).padStart(7)}  ${percent(aggregated[15]).padStart(19)}  ${percent(reuse[15]).padStart(23)}`,
    )
  }
  print(`perplexity     ${results.perplexity.toFixed(3)}`)
  for (const { rise, sparsity, error } of results.atRise) {
    print(
      `CETT-PPL-${100 * rise} %    ${percent(sparsity)} of the neurons left out at CETT ${error.toFixed(3)}`,
    )
  }
  print(`report         ${path.join(out, 'report.html')}`)
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`
}
