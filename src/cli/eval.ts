// `flicker eval`: loss, perplexity, bits per byte and sparsity of a model on a text.

import path from 'node:path'
import { Command } from 'commander'
import { parseActivation } from '../activations/index.js'
import { heldOutText } from '../data/prepare.js'
import { Evaluator } from '../eval/evaluate.js'
import { type ModelSource, openModel } from '../formats/index.js'
import { kernels } from '../kernels/index.js'
import { allocateWeights, readRow, storeRow } from '../kernels/weights/quantized.js'
import { Llama } from '../nn/llama.js'
import { type RunOptions, readRunOptions } from '../train/index.js'
import {
  allowCodeOption,
  choiceOption,
  corpusOption,
  integer,
  jsonOption,
  modelOption,
  seedOption,
  threadsOption,
  tokenizerOption,
  WEIGHT_TYPES,
} from './options.js'
import { log, print, printJson } from './terminal.js'

interface EvalFlags {
  model: string
  corpus?: string
  tokenizer?: string
  whole?: boolean
  activation?: string
  dtype: 'auto' | (typeof WEIGHT_TYPES)[number]
  context?: number
  maxTokens: number
  sampleSeed: number
  batchSize: number
  seed: number
  json?: boolean
}

/** Longest window by default: a model made for long contexts is measured in windows that fit in memory. */
const LONGEST_WINDOW = 1024

export function evalCommand(): Command {
  return new Command('eval')
    .description('measure a model on held-out text: loss, perplexity, bits per byte, sparsity per layer')
    .addOption(modelOption())
    .addOption(
      corpusOption(
        "default, or a file or directory; its validation side is measured (default: the run's own corpus)",
      ),
    )
    .addOption(tokenizerOption())
    .option('--whole', 'measure all of the corpus, not its validation side')
    .option('--activation <name>', "activation instead of the model's own, e.g. stocha:p=0.3")
    .addOption(allowCodeOption())
    .addOption(
      choiceOption(
        '--dtype <type>',
        'round the weights to this type first; auto: as in the file',
        ['auto', ...WEIGHT_TYPES],
        'auto',
      ),
    )
    .option(
      '--context <n>',
      `tokens per window (default: the model's context, at most ${LONGEST_WINDOW})`,
      integer(1),
    )
    .option('--max-tokens <n>', 'measure a sample of so many tokens when there are more', integer(1), 131_072)
    .option('--sample-seed <n>', 'draws the sample', integer(0), 1)
    .option('--batch-size <n>', 'windows at a time', integer(1), 16)
    .addOption(seedOption('for activations that draw', 1))
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  flicker eval --model runs/quick/swift
  flicker eval --model runs/quick/silu --activation relu
  flicker eval --model model.gguf --corpus book.txt --dtype q8_0
  flicker eval --model runs/quick/stocha --corpus book.txt --whole --json`,
    )
    .action((flags: EvalFlags) => {
      const source = openModel(flags.model, { tokenizer: flags.tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      try {
        measure(source, flags)
      } finally {
        source.close()
      }
    })
}

function measure(source: ModelSource, flags: EvalFlags): void {
  const { config } = source
  const activation = parseActivation(flags.activation ?? config.activation)
  const run = flags.corpus === undefined ? runOf(flags.model) : null
  const heldOut = heldOutText(source.tokenizer(), {
    corpus: flags.corpus ?? run?.source?.corpus ?? 'default',
    corpusBytes: run?.source?.corpusBytes,
    whole: flags.whole === true,
  })
  const model = Llama.from(config, name => roundedTo(flags.dtype, source, name))
  const evaluation = new Evaluator(kernels()).run(model, heldOut, {
    activation,
    step: 0,
    context: flags.context ?? Math.min(config.maxPositionEmbeddings, LONGEST_WINDOW),
    batchSize: flags.batchSize,
    maxTokens: flags.maxTokens,
    sampleSeed: flags.sampleSeed,
    seed: flags.seed,
  })
  const { step: _, ...result } = evaluation
  const { corpus, measured } = heldOut
  if (flags.json === true) {
    printJson({ ...result, dtype: flags.dtype, corpus, measured })
    return
  }
  const available = (heldOut.tokens.length - 1).toLocaleString('en-US')
  print(`corpus         ${corpus}`)
  print(`measured       ${measured}`)
  print(
    `activation     ${result.activation}${result.drawnPer === null ? '' : `, drawn per ${result.drawnPer}`}`,
  )
  print(
    `tokens         ${result.tokens.toLocaleString('en-US')}${
      result.sample === null
        ? ''
        : ` of ${available}: ${result.sample.windows} of ${result.sample.of} windows, drawn with seed ${result.sample.seed}`
    }`,
  )
  print(`loss           ${result.loss.toFixed(4)} nats per token`)
  print(`perplexity     ${result.perplexity.toFixed(3)}`)
  print(`bits per byte  ${result.bitsPerByte.toFixed(4)}`)
  result.sparsity.forEach((fraction, layer) => {
    print(`layer ${String(layer).padEnd(3)}      ${(100 * fraction).toFixed(2)} % zeros`)
  })
}

/** The options of the run that a model belongs to: its directory, or one of its checkpoints; null for other models. */
function runOf(model: string): RunOptions | null {
  return readRunOptions(model) ?? readRunOptions(path.dirname(path.resolve(model)))
}

/** A tensor with the rounding of a weight type; norms and biases stay as they are, as in the engine. */
function roundedTo(dtype: EvalFlags['dtype'], source: ModelSource, name: string): Float32Array {
  const values = source.tensor(name)
  const { shape } = source.info(name)
  if (dtype === 'auto' || dtype === 'f32' || shape.length < 2) return values
  const [rows, columns] = shape
  const weights = allocateWeights(dtype, rows, columns)
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * columns, (row + 1) * columns)
    storeRow(weights, row, part)
    readRow(weights, row, part)
  }
  return values
}
