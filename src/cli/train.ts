// `flicker train`: one model, every option a flag.

import { Command } from 'commander'
import { prepareData } from '../data/prepare.js'
import { OptionError } from '../errors.js'
import {
  annealSchedules,
  type MetricsExport,
  modelSchema,
  openStartingPoint,
  readRunOptions,
  regularizerSchema,
  type StartingPoint,
  splitFrom,
  strategySchema,
  train,
  trainingSchema,
  withOwnActivation,
} from '../train/index.js'
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
  choiceOption,
  corpusOption,
  jsonOption,
  number,
  numbers,
  threadsOption,
  trainedTokenizerOption,
} from './options.js'
import { addSchemaFlags, kebab, parseFlags, readSchemaFlags } from './schema-flags.js'
import { interruptible, log, print, printJson } from './terminal.js'
import { TrainReporter } from './train-progress.js'

const about = {
  hiddenSize: 'width of the residual stream',
  intermediateSize: 'neurons per FFN',
  numHiddenLayers: 'layers',
  numAttentionHeads: 'query heads',
  numKeyValueHeads: 'key/value heads (default: as many as query heads)',
  ffn: 'form of the FFN',
  sparkPredictorWidth: 'spark: inputs that the gate reads (default: half)',
  tieWordEmbeddings: 'one matrix for embedding and head',
  rmsNormEps: 'epsilon of the norms',
  ropeTheta: 'base of the rotary positions',
  steps: 'optimizer steps',
  batchSize: 'sequences per micro-batch',
  context: 'tokens per sequence',
  accumulate: 'micro-batches per step',
  learningRate: 'peak learning rate',
  minLearningRate: 'learning rate at the end of the cosine',
  warmupSteps: 'steps of linear warm-up',
  weightDecay: 'decoupled; not on norms and embeddings',
  beta1: 'AdamW',
  beta2: 'AdamW',
  eps: 'AdamW',
  clip: 'largest global gradient norm, 0 for none',
  evalEvery: 'steps between measurements on held-out text',
  evalTokens: 'tokens of such a measurement, a sample of the held-out text',
  checkpointEvery: 'steps between checkpoints',
  keepCheckpoints: 'checkpoints that stay, the newest ones',
  trainable: 'what is trained; other than all only with --from',
  precision: 'what linear layers multiply; bf16 where the processor does',
  seed: 'seed of weights, data order and draws',
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description(
      'train one model; with the directory of a run it resumes that run, and --steps with a larger number extends it',
    )
    .requiredOption('--out <directory>', 'directory of the run')
    .addOption(corpusOption('default, or a file or directory, plain or .gz').default('default'))
    .addOption(trainedTokenizerOption().default('bytes'))
    .addOption(threadsOption())
    .option('--fresh', 'start over when the directory holds a run')
    .addOption(allowCodeOption())
    .addOption(watchOption())
    .addOption(boardPortOption())
    .addOption(sampleTokensOption())
    .addOption(logOption())
    .addOption(jsonOption())
    .optionsGroup('Strategy:')
    .addOption(
      choiceOption('--strategy <name>', 'how the activation changes', Object.keys(STRATEGY_FLAGS), 'scratch'),
    )
    .option(
      '--activation <name>',
      'scratch: the activation (default: silu; stat-topk:k=0.08 with --ffn spark)',
    )
    .option(
      '--from <path|name>',
      'checkpoint to start from, of any kind that generate reads; or of swift: activation before the switch ' +
        "(default: silu, or the checkpoint's own)",
    )
    .option('--to <name>', 'swift, stocha, anneal, relufy: activation at the end (default: relu)')
    .option(
      '--alpha <fraction>',
      'swift, stocha, anneal: fraction of the steps with that alone (default: 0.1)',
      number,
    )
    .option('--p <probability>', 'stocha: probability of SiLU (default: 0.7)', number)
    .addOption(
      choiceOption('--positive <side>', 'stocha: what x ≥ 0 becomes (default: identity)', [
        'identity',
        'silu',
        'drawn',
      ]),
    )
    .option('--before <name>', 'anneal: activation at the start (default: silu)')
    .addOption(
      choiceOption('--schedule <name>', 'anneal: how the probability of --before falls (default: cosine)', [
        ...annealSchedules,
      ]),
    )
    .addOption(
      choiceOption('--sides <which>', 'relufy: activation on the gate, or on gate and up (default: gate)', [
        'gate',
        'both',
      ]),
    )
    .option(
      '--stage <1|2>',
      'relufy: 2 puts relu after the norms too, for inputs with zeros (default: 1)',
      number,
    )
    .option(
      '--shift-quantile <fraction>',
      'relufy --to shifted-relu: shift below which this part of the pre-activations lies, measured first',
      number,
    )
    .option('--sine-stages <n>', 'anneal, with --schedule sine: number of stages (default: 4)', number)
    .optionsGroup('Sparsity:')
    .addOption(
      choiceOption(
        '--regularizer <name>',
        'penalty on the hidden activations (default: none)',
        Object.keys(REGULARIZER_FLAGS),
      ),
    )
    .option('--coefficient <n>', 'l1: factor of the penalty (default: 2e-5)', number)
    .option(
      '--target-active <fraction>',
      'l1: steer the coefficient to this fraction of neurons that are not 0',
      number,
    )
    .option(
      '--coefficient-warmup <fraction>',
      'l1: part of the steps until the coefficient or target is reached (default: 0.5)',
      number,
    )
    .option(
      '--factors <list>',
      'prosparse: factor at the end of each stage (default: 1e-4,1e-3,3e-3)',
      numbers,
    )
    .option(
      '--stages <list>',
      'prosparse: where the stages end, as fractions of the steps (default: 0.1,0.5,0.8)',
      numbers,
    )
    .option(
      '--threshold-loss <nats>',
      'at the end raise the threshold of relu until the loss has risen by this (default: 0; prosparse: 0.005)',
      number,
    )
    .option(
      '--revive <fraction>',
      'move gate weights of dead neurons to random ones by this per step (default: 0)',
      number,
    )
    .option('--dead-after <n>', 'steps without firing after which a neuron is dead (default: 100)', number)
    .optionsGroup('Model:')
  addSchemaFlags(command, modelSchema, about)
  command.optionsGroup('Training:')
  addSchemaFlags(command, trainingSchema, about)
  return command
    .addHelpText(
      'after',
      `
Examples:
  flicker train --out runs/silu --steps 500
  flicker train --out runs/silu --steps 800   (300 more, with the schedule of 800)
  flicker train --out runs/swift --strategy swift --from silu --to relu --alpha 0.1 --tokenizer bpe:1024
  flicker train --out runs/spark --ffn spark --intermediate-size 576
  flicker train --out runs/stocha --strategy stocha --p 0.7 --corpus notes/ --hidden-size 256
  flicker train --out runs/relufied --from ./llama --strategy relufy --corpus notes/ --steps 300 --lr 1e-4
  flicker train --out runs/shifted --from ./llama --strategy relufy --to shifted-relu --shift-quantile 0.9 --steps 300 --lr 1e-4
  flicker train --out runs/sparse --activation relu --regularizer l1 --target-active 0.08
  flicker train --out runs/anneal --strategy anneal --schedule sine --alpha 0.2
  flicker train --out runs/prosparse --strategy swift --alpha 0.4 --regularizer prosparse --factors 1e-4,1e-3,3e-3 --stages 0.1,0.5,0.8`,
    )
    .action(async (given: TrainFlags, command: Command) => {
      const flags = withStoredOptions(given, command)
      const { activation, checkpoint = flags.start } =
        flags.from === undefined ? {} : splitFrom(flags.strategy, flags.from)
      const chosen = strategyFlags({ ...flags, from: activation }, checkpoint !== undefined)
      const regularizer = regularizerFlags(flags)
      const training = readSchemaFlags(trainingSchema, flags)
      const start =
        checkpoint === undefined ? undefined : openStartingPoint(checkpoint, flags.out, flags.fresh)
      const strategy = parseFlags(
        strategySchema,
        start === undefined ? chosen : withOwnActivation(chosen, start),
      )
      const model = start === undefined ? readSchemaFlags(modelSchema, flags) : givenShape(flags, command)
      const data = prepareData({ ...flags, ...tokenizerOf(start, flags, command) })
      start?.close()
      log(`corpus: ${data.description}`)
      if (data.split !== undefined) log(`split: ${data.split}`)
      const reporter = new TrainReporter()
      const unwatch = watch(flags.out, flags.watch === true ? flags.boardPort : undefined)
      const trained = await train({
        directory: flags.out,
        ...(checkpoint !== undefined && { from: checkpoint }),
        model,
        strategy,
        ...(regularizer !== undefined && { regularizer: parseFlags(regularizerSchema, regularizer) }),
        training,
        data,
        fresh: flags.fresh === true,
        extend: isGiven(command, 'steps'),
        log: flags.log,
        sampleTokens: flags.sampleTokens ?? (flags.watch === undefined ? 0 : WATCHED_SAMPLE_TOKENS),
        signal: interruptible(),
        onStart: start => reporter.start(start),
        onProgress: progress => reporter.step(progress),
        onNotice: log,
      }).finally(() => {
        reporter.stop()
        unwatch()
      })
      const last = trained.evaluations[trained.evaluations.length - 1]
      if (flags.json === true) {
        return printJson({
          checkpoint: trained.checkpoint,
          evaluations: trained.evaluations,
          seconds: trained.trainSeconds,
        })
      }
      print(
        `validation loss ${last.loss.toFixed(4)}, perplexity ${last.perplexity.toFixed(2)}, ${last.bitsPerByte.toFixed(3)} bits per byte`,
      )
      print(`checkpoint: ${trained.checkpoint}`)
    })
}

/** The flags of each strategy. */
const STRATEGY_FLAGS: Readonly<Record<string, readonly string[]>> = {
  scratch: ['activation'],
  swift: ['from', 'to', 'alpha'],
  stocha: ['p', 'positive', 'to', 'alpha'],
  anneal: ['before', 'to', 'schedule', 'sineStages', 'alpha'],
  relufy: ['to', 'sides', 'stage', 'shiftQuantile'],
}

const FLAGS_OF_BOTH = ['thresholdLoss', 'revive', 'deadAfter']
const REGULARIZER_FLAGS: Readonly<Record<string, readonly string[]>> = {
  l1: ['coefficient', 'targetActive', 'coefficientWarmup', ...FLAGS_OF_BOTH],
  prosparse: ['factors', 'stages', ...FLAGS_OF_BOTH],
}

/** The flags of the chosen strategy. Throws OptionError STRATEGY_OPTION for a flag of another one. */
function strategyFlags(flags: Record<string, unknown>, hasStart: boolean): Record<string, unknown> {
  const given = flagsOf('strategy', String(flags.strategy), STRATEGY_FLAGS, flags)
  // What the Spark Transformer is trained with: about 8 % of the neurons stay, through GELU.
  if (flags.strategy === 'scratch' && !hasStart)
    given.activation ??= flags.ffn === 'spark' ? 'stat-topk:k=0.08' : 'silu'
  return { strategy: flags.strategy, ...given }
}

/** The flags of the chosen regularizer. Throws OptionError STRATEGY_OPTION for a flag of another one, or of none. */
function regularizerFlags(flags: Record<string, unknown>): Record<string, unknown> | undefined {
  const name = flags.regularizer === undefined ? undefined : String(flags.regularizer)
  const given = flagsOf('regularizer', name, REGULARIZER_FLAGS, flags)
  return name === undefined ? undefined : { name, ...given }
}

/** The flags given that the choice `name` of `option` has. Throws OptionError STRATEGY_OPTION for one of another choice. */
function flagsOf(
  option: string,
  name: string | undefined,
  all: Readonly<Record<string, readonly string[]>>,
  flags: Record<string, unknown>,
): Record<string, unknown> {
  const own = name === undefined ? [] : all[name]
  const keys = [...new Set(Object.values(all).flat())].filter(key => flags[key] !== undefined)
  const other = keys.find(key => !own.includes(key))
  if (other !== undefined) {
    const owners = Object.keys(all).filter(owner => all[owner].includes(other))
    throw new OptionError(
      'STRATEGY_OPTION',
      `--${kebab(other)} belongs to --${option} ${owners.join(' or ')}; ` +
        (name === undefined
          ? `--${option} is not given`
          : `--${option} ${name} has ${own.map(key => `--${kebab(key)}`).join(', ')}`),
    )
  }
  return Object.fromEntries(keys.map(key => [key, flags[key]]))
}

/** The tokenizer of the checkpoint to start from, unless the command line names one. */
function tokenizerOf(start: StartingPoint | undefined, flags: TrainFlags, command: Command) {
  return start === undefined || isGiven(command, 'tokenizer')
    ? { tokenizer: flags.tokenizer }
    : { tokenizer: start.tokenizer() }
}

/** The flags of the model's shape that the command line itself gives: `train` refuses them beside a checkpoint. */
function givenShape(flags: TrainFlags, command: Command) {
  const given = Object.keys(modelSchema.shape).filter(key => isGiven(command, key))
  return Object.fromEntries(given.map(key => [key, flags[key]]))
}

type TrainFlags = Record<string, unknown> & {
  out: string
  from?: string
  /** The checkpoint that the run in `out` started from. */
  start?: string
  fresh?: boolean
  watch?: boolean
  boardPort?: number
  sampleTokens?: number
  log?: MetricsExport[]
  corpus: string
  tokenizer: string
  corpusBytes?: number
}

function isGiven(command: Command, flag: string): boolean {
  return command.getOptionValueSource(flag) === 'cli'
}

/** The flags with the options of the run that `--out` holds in place of defaults: resuming needs no flag again. */
function withStoredOptions(flags: TrainFlags, command: Command): TrainFlags {
  const stored = flags.fresh === true ? null : readRunOptions(flags.out)
  if (stored === null) return flags
  const given = Object.entries(flags).filter(([key]) => isGiven(command, key))
  const shape = stored.from === undefined ? Object.keys(modelSchema.shape) : []
  const known = [...shape, ...Object.keys(trainingSchema.shape)]
  const options = { ...stored.model, ...stored.training, ...stored.intervals }
  const kept = Object.entries(options).filter(([key]) => known.includes(key))
  const other = isGiven(command, 'strategy') && flags.strategy !== stored.strategy.strategy
  const { name: regularizer, ...penalty } = stored.regularizer ?? {}
  const otherPenalty = isGiven(command, 'regularizer') && flags.regularizer !== regularizer
  return {
    ...flags,
    ...Object.fromEntries(kept),
    ...(other ? {} : stored.strategy),
    ...(regularizer === undefined || otherPenalty ? {} : { regularizer, ...penalty }),
    ...stored.source,
    ...(stored.from !== undefined && { start: stored.from.path }),
    ...Object.fromEntries(given),
  }
}
