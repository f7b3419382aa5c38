// `flicker eval`: loss, perplexity, bits per byte and sparsity of a model on a text; with --tasks scores on benchmarks.

import { dirname, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { parseActivation } from '../activations/index.js'
import { heldOutText } from '../data/prepare.js'
import { OptionError } from '../errors.js'
import { Evaluator } from '../eval/evaluate.js'
import { evaluateCut } from '../eval/evaluate-cut.js'
import { TASK_GROUPS, TASKS } from '../eval/tasks/index.js'
import { type ModelSource, openModel } from '../formats/index.js'
import { kernels } from '../kernels/index.js'
import { allocateWeights, readRow, storeRow } from '../kernels/weights/quantized.js'
import { Llama } from '../nn/llama.js'
import { type RunOptions, readRunOptions } from '../train/index.js'
import { type EvalTasksFlags, evalTasks, LOSS_ONLY, TASKS_ONLY } from './eval-tasks.js'
import {
  allowCodeOption,
  choiceOption,
  corpusOption,
  exactOption,
  integer,
  jsonOption,
  MODEL_KINDS,
  seedOption,
  threadsOption,
  tokenizerOption,
  WEIGHT_TYPES,
} from './options.js'
import { kebab } from './schema-flags.js'
import { log, print, printJson } from './terminal.js'

interface EvalFlags extends Omit<EvalTasksFlags, 'tasks'> {
  tasks?: string
  corpus?: string
  whole?: boolean
  maxTokens: number
  sampleSeed: number
  batchSize: number
}

/** Names of the tasks and groups. */
function taskNames(): string {
  return [...TASKS, ...TASK_GROUPS].map(({ name }) => name).join(', ')
}

/** Longest window by default: a model made for long contexts is measured in windows that fit in memory. */
const LONGEST_WINDOW = 1024

export function evalCommand(): Command {
  return new Command('eval')
    .description(
      'measure a model on held-out text (loss, perplexity, bits per byte, sparsity per layer), or with --tasks on benchmarks',
    )
    .addOption(
      new Option('-m, --model <path>', `${MODEL_KINDS}; with --tasks repeatable, to compare models`)
        .argParser((text: string, before: string[] | undefined) => [...(before ?? []), text])
        .makeOptionMandatory(),
    )
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
    .addOption(exactOption())
    .optionsGroup('Held-out text:')
    .option('--max-tokens <n>', 'measure a sample of so many tokens when there are more', integer(1), 131_072)
    .option('--sample-seed <n>', 'draws the sample', integer(0), 1)
    .option('--batch-size <n>', 'windows at a time', integer(1), 16)
    .optionsGroup('Benchmarks (docs/evaluation.md):')
    .option(
      '--tasks <names>',
      `${taskNames()}; or a task of a group, or a file of yours (./mine.yaml, ./mine.jsonl)`,
    )
    .option(
      '--data <directory|hub>',
      'where the rows are: <name>.jsonl or <name>.jsonl.gz for each task; hub: downloaded from the Hugging Face Hub',
    )
    .option('--shots <n>', "few-shot examples (default: the task's own number)", integer(0))
    .option('--limit <n>', 'only the first n questions of each task', integer(1))
    .option(
      '--mutual-info',
      'acc_mutual_info too: the likelihood of a choice after an empty prompt is taken off',
    )
    .option(
      '--allow-code-execution',
      'run the programs that the model writes (humaneval, mbpp, humaneval_js)',
    )
    .option(
      '--out <directory>',
      'results.json and a log of every answer, from which an interrupted evaluation continues',
      'runs/eval',
    )
    .option('--bootstrap <n>', 'resamplings of the questions for 95 % intervals', integer(0), 1000)
    .optionsGroup('Running:')
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
  flicker eval --model silu-teal --corpus book.txt
  flicker eval --model runs/quick/stocha --corpus book.txt --whole --json
  flicker eval --model model.gguf --tasks hellaswag,arc_easy --data eval-data --limit 1000
  flicker eval --model runs/quick/silu --model runs/quick/swift --tasks blimp --data eval-data
  flicker eval --model model.gguf --tasks mmlu,gsm8k --data eval-data --shots 5 --json
  flicker eval --model model.gguf --tasks humaneval,mbpp --data eval-data --allow-code-execution
  flicker eval --model model.gguf --tasks arc_easy,piqa --data hub`,
    )
    .action(async (flags: EvalFlags, command: Command) => {
      refuseOthers(command, flags.tasks)
      if (flags.tasks !== undefined) return evalTasks({ ...flags, tasks: flags.tasks })
      const [model, ...others] = flags.model
      if (others.length > 0) {
        throw new OptionError(
          'OPTION_CONFLICT',
          'several --model are compared on --tasks; give one, or name tasks',
        )
      }
      const source = openModel(model, { tokenizer: flags.tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      try {
        measure(source, model, flags)
      } finally {
        source.close()
      }
    })
}

/** A flag of the other kind of evaluation would silently have no effect. */
function refuseOthers(command: Command, tasks: string | undefined): void {
  const others = tasks === undefined ? TASKS_ONLY : LOSS_ONLY
  const given = others.find(name => command.getOptionValueSource(name) === 'cli')
  if (given === undefined) return
  const why = tasks === undefined ? 'belongs to --tasks' : 'measures a loss, not --tasks'
  throw new OptionError('OPTION_CONFLICT', `--${kebab(given)} ${why}; leave one of them out`)
}

function measure(source: ModelSource, path: string, flags: EvalFlags): void {
  const { config } = source
  const activation = parseActivation(flags.activation ?? config.activation)
  const run = flags.corpus === undefined ? runOf(path) : null
  const heldOut = heldOutText(source.tokenizer(), {
    corpus: flags.corpus ?? run?.source?.corpus ?? 'default',
    corpusBytes: run?.source?.corpusBytes,
    whole: flags.whole === true,
  })
  const options = {
    activation,
    step: 0,
    context: flags.context ?? Math.min(config.maxPositionEmbeddings, LONGEST_WINDOW),
    batchSize: flags.batchSize,
    maxTokens: flags.maxTokens,
    sampleSeed: flags.sampleSeed,
    seed: flags.seed,
  }
  const cuts = flags.exact === true ? null : (source.cuts?.() ?? null)
  if (cuts !== null && source.sparsity) {
    log(
      `flicker: approximate: cut by ${source.sparsity.method}, at every position measured; --exact measures the weights without cuts`,
    )
  }
  const evaluation =
    cuts === null
      ? new Evaluator(kernels()).run(
          Llama.from(config, name => roundedTo(flags.dtype, source, name)),
          heldOut,
          options,
        )
      : evaluateCut(source, cuts, flags.dtype, heldOut, options)
  const { step: _, ...result } = evaluation
  const { corpus, measured } = heldOut
  if (flags.json === true) {
    printJson({
      ...result,
      ...(cuts !== null && { approximate: true }),
      dtype: flags.dtype,
      corpus,
      measured,
    })
    return
  }
  const available = (heldOut.tokens.length - 1).toLocaleString('en-US')
  print(`corpus         ${corpus}`)
  if (cuts !== null) print(`model          approximate: cut by ${source.sparsity?.method}, every position`)
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
  return readRunOptions(model) ?? readRunOptions(dirname(resolve(model)))
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
