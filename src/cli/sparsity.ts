// `flicker sparsity`: arguments and printing.

import { existsSync } from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import { OptionError } from '../errors.js'
import { openModel, writeFileAtomic, writePredictor } from '../formats/index.js'
import { type LabResults, measureSparsity } from '../sparsify/lab/measure.js'
import { renderSparsityLab } from '../sparsify/lab/report.js'
import {
  integer,
  jsonOption,
  modelOption,
  number,
  numbers,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { phaseProgress } from './phase-progress.js'
import { sparsityLaw } from './sparsity-law.js'
import { log, print, printJson } from './terminal.js'

interface SparsityFlags {
  readonly model: string
  readonly text: string
  readonly tokens: number
  readonly heldOut?: string
  readonly measureTokens: number
  readonly context?: number
  readonly reuse?: number[]
  readonly decodeTokens: number
  readonly law?: boolean
  readonly trainPredictor?: string
  readonly predictorRank?: number
  readonly predictorRecall?: number
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
    .option('--reuse <list>', 'windows of re-use to decode with (default: 4,16)', numbers)
    .option('--decode-tokens <n>', 'tokens decoded to measure that, 0 for none', integer(0), 512)
    .option(
      '--law',
      'of a run of flicker train: active neurons over its tokens instead, with two laws fitted',
    )
    .option('--train-predictor <file>', 'train a predictor of active neurons and write it to this file')
    .option('--predictor-rank <n>', 'its rank (default: an eighth of the width)', integer(1))
    .option('--predictor-recall <fraction>', 'active neurons that it finds (default: 0.95)', number)
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
are active together; decoding with neurons of earlier tokens alone (--reuse), and with those that a predictor chooses.

Examples:
  flicker sparsity --model runs/quick/relu --text book.txt --out lab
  flicker sparsity --model runs/quick/relu --text book.txt --train-predictor relu-predictor.safetensors --out lab
  flicker sparsity --model runs/relu --text book.txt --law --out law
  flicker sparsity --model runs/quick/silu --text book.txt --tokens 30000 --measure-tokens 8192 --out lab`,
    )
    .action((flags: SparsityFlags) => {
      const { model, out, force, json, tokenizer, trainPredictor: file, ...options } = flags
      const { predictorRank: rank, predictorRecall: recall } = flags
      if (file === undefined && (rank !== undefined || recall !== undefined)) {
        throw new OptionError(
          'OPTION_CONFLICT',
          '--predictor-rank and --predictor-recall belong to --train-predictor FILE; give it too',
        )
      }
      if (file !== undefined && force !== true && existsSync(file)) {
        throw new OptionError('DESTINATION_EXISTS', `${file} exists; give --force to replace it`)
      }
      if (force !== true && existsSync(out)) {
        throw new OptionError(
          'DESTINATION_EXISTS',
          `${out} exists; give --force to write into it, or another name`,
        )
      }
      if (flags.law === true) {
        sparsityLaw(model, { ...options, calibrate: flags.text }, { out, json })
        return
      }
      const source = openModel(model, { tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      const { onProgress, stop } = phaseProgress()
      let results: LabResults
      try {
        results = measureSparsity(source, {
          ...options,
          ...(file !== undefined && { predictor: { rank, recall } }),
          onProgress,
        })
      } finally {
        stop()
        source.close()
      }
      const { trained, ...written } = results
      if (file !== undefined && trained !== undefined) writePredictor(file, trained)
      const plain = JSON.stringify(
        written,
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
  for (const one of results.decoding) {
    const way = 'reuse' in one ? `reuse ${one.reuse}` : `predictor ${one.rank}`
    print(
      `${way.padEnd(14)} perplexity ${one.perplexity.toFixed(3)} (exactly ${one.exactPerplexity.toFixed(3)}), KL ${one.divergence.toPrecision(3)}, ` +
        `${percent(one.ffnBytes)} of the FFN bytes of exact decoding`,
    )
  }
  for (const [i, { precision, recall, chosen }] of (results.predictor?.layers ?? []).entries()) {
    print(
      `predictor      layer ${i}: precision ${percent(precision)}, recall ${percent(recall)}, ${percent(chosen)} taken for active`,
    )
  }
  print(`report         ${path.join(out, 'report.html')}`)
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`
}
