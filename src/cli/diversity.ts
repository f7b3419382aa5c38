// `flicker diversity`: ways of drawing compared by quality and diversity.

import path from 'node:path'
import { Command } from 'commander'
import { MEASURES, type Measure } from '../diversity/measures.js'
import { readPrompts } from '../diversity/prompts.js'
import { renderDiversityPage, verdictOf } from '../diversity/report.js'
import { type DiversityResults, runDiversity } from '../diversity/run.js'
import { readDiversitySettings } from '../diversity/settings.js'
import { type LoadOptions, load, resolveModelDirectory } from '../engine/index.js'
import { modelIdentity } from '../eval/model-identity.js'
import type { ConfidenceQuality } from '../eval/repeated-answers.js'
import { writeFileAtomic } from '../formats/atomic.js'
import {
  allowCodeOption,
  dtypeOption,
  integer,
  jsonOption,
  modelOption,
  seedOption,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { duration, interruptible, log, print, printJson, progressBar } from './terminal.js'

interface DiversityFlags extends Pick<LoadOptions, 'dtype' | 'tokenizer'> {
  readonly model: string
  readonly prompts: string
  readonly settings: string
  readonly n?: number
  readonly maxTokens?: number
  readonly limit?: number
  readonly seed?: number
  readonly out: string
  readonly json?: boolean
}

export function diversityCommand(): Command {
  return new Command('diversity')
    .description(
      'compare ways of drawing texts (temperature, top-p, min-p, top-k, StochA) by quality and diversity',
    )
    .addOption(modelOption())
    .requiredOption('--prompts <file>', 'one prompt a line, or .jsonl with {"prompt", "answers"}')
    .option('--settings <file>', "the ways, in YAML, or the name of the package's own", 'diversity')
    .option('--n <n>', 'samples of each prompt (default: that of the settings)', integer(2))
    .option('--max-tokens <n>', 'tokens of each sample at most (default: that of the settings)', integer(1))
    .option('--limit <n>', 'only the first n prompts', integer(1))
    .option(
      '--out <directory>',
      'results.json, report.html and all samples, from which an interrupted run continues',
      'runs/diversity',
    )
    .addOption(seedOption('of all draws (default: that of the settings)'))
    .addOption(dtypeOption())
    .addOption(tokenizerOption())
    .addOption(allowCodeOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  flicker diversity --model runs/quick/swift --prompts prompts.txt
  flicker diversity --model runs/quick/stocha --prompts questions.jsonl --n 32 --settings recipes/diversity.yaml
  flicker diversity --model model.gguf --prompts prompts.txt --n 8 --max-tokens 24 --json`,
    )
    .action(diversity)
}

async function diversity(flags: DiversityFlags): Promise<void> {
  const { settings, ways } = readDiversitySettings(flags.settings)
  const { n = settings.n, maxTokens = settings.maxTokens, seed = settings.seed } = flags
  const prompts = readPrompts(flags.prompts).slice(0, flags.limit)
  const model = await load(flags.model, { dtype: flags.dtype, tokenizer: flags.tokenizer })
  for (const note of model.notes) log(`flicker: ${note}`)
  const signal = interruptible('stopping after this token; the same command continues')
  let started = performance.now()
  let begun = false
  const bar = progressBar('drawing', ways.length * prompts.length)
  let results: DiversityResults
  try {
    results = await runDiversity(model, {
      ...{ name: flags.model, ways, prompts, signal },
      settings: { ...settings, n, maxTokens, seed },
      log: {
        directory: flags.out,
        model: {
          model: modelIdentity(resolveModelDirectory(flags.model)),
          dtype: flags.dtype,
          tokenizer: flags.tokenizer === undefined ? null : modelIdentity(flags.tokenizer),
        },
      },
      onProgress: ({ way, done, total, found }) => {
        if (!begun) {
          begun = true
          started = performance.now()
          if (found > 0) log(`flicker: ${found} of ${total} were drawn earlier`)
        }
        const drawn = done - found
        const seconds = (performance.now() - started) / 1000
        bar.update(done, drawn === 0 ? way : `${way} · ${duration((seconds / drawn) * (total - done))} left`)
      },
    })
  } finally {
    bar.stop()
    model.dispose()
  }
  writeFileAtomic(path.join(flags.out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileAtomic(path.join(flags.out, 'report.html'), renderDiversityPage(results))
  log(`flicker: results.json, report.html and the samples are in ${flags.out}`)
  if (flags.json === true) return printJson(results)
  printResults(results)
}

const COLUMNS: readonly Measure[] = [
  'likelihood',
  'exact',
  'majority',
  'coverage',
  'vendi',
  'distinct2',
  'selfBleu',
  'zeros',
]

function printResults({ ways, sameQuality, deterministicConfidence }: DiversityResults): void {
  const columns = COLUMNS.filter(name => ways[0].measures[name] !== undefined)
  const head = ['way', ...columns.map(name => MEASURES[name].title), 'tokens/s']
  const rows = ways.map(({ way, measures, tokensPerSecond }) => [
    way.label,
    ...columns.map(name => measures[name]?.mean.toFixed(MEASURES[name].decimals) ?? ''),
    tokensPerSecond?.toFixed(0) ?? '',
  ])
  const widths = head.map((title, c) => Math.max(title.length, ...rows.map(row => row[c].length)))
  for (const row of [head, ...rows]) {
    print(row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join('  '))
  }
  if (deterministicConfidence !== null) {
    const values = ({ auroc, aurocInterval: range, calibrationError }: ConfidenceQuality) =>
      `AUROC ${auroc?.toFixed(3) ?? '–'}${range === null ? '' : ` (95 %: ${range.low.toFixed(3)} to ${range.high.toFixed(3)})`}, calibration error ${calibrationError?.toFixed(3) ?? '–'}`
    print('\nConfidence, against whether the answer is right:')
    print(`  entropy of one deterministic pass: ${values(deterministicConfidence)}`)
    for (const { way, confidence } of ways) {
      if (confidence !== null) print(`  agreement of samples, ${way.label}: ${values(confidence)}`)
    }
  }
  const told = sameQuality.filter(({ measure }) => measure === 'vendi')
  if (told.length > 0) print('\nVendi score of StochA minus that of the other way at the same likelihood:')
  const outside = new Set(told.flatMap(({ way, difference }) => (difference === null ? [way] : [])))
  for (const row of told) {
    const { way, family, difference, interval } = row
    if (difference === null) continue
    const range =
      interval === null ? '' : ` (95 %: ${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})`
    const value = `${difference > 0 ? '+' : ''}${difference.toFixed(2)}${range}`
    print(`  ${way} against ${family}: ${value}, ${verdictOf(row)}`)
  }
  if (outside.size > 0) print(`  likelihood outside another curve: ${[...outside].join('; ')}`)
}
