// `flicker train`: one model, every option a flag.

import { Command } from 'commander'
import { prepareData } from '../data/prepare.js'
import { OptionError } from '../errors.js'
import { modelSchema, strategySchema, type TrainProgress, train, trainingSchema } from '../train/index.js'
import {
  allowCodeOption,
  choiceOption,
  corpusOption,
  jsonOption,
  number,
  threadsOption,
  trainedTokenizerOption,
} from './options.js'
import { addSchemaFlags, parseFlags, readSchemaFlags } from './schema-flags.js'
import { duration, interruptible, log, print, printJson, progressBar } from './terminal.js'

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
  evalTokens: 'tokens of such a measurement',
  checkpointEvery: 'steps between checkpoints',
  seed: 'seed of weights, data order and draws',
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description('train one model; the same command resumes it after an interruption')
    .requiredOption('--out <directory>', 'directory of the run')
    .addOption(corpusOption('default, or a file or directory, plain or .gz').default('default'))
    .addOption(trainedTokenizerOption().default('bytes'))
    .addOption(threadsOption())
    .option('--fresh', 'start over when the directory holds a run')
    .addOption(allowCodeOption())
    .addOption(jsonOption())
    .optionsGroup('Strategy:')
    .addOption(
      choiceOption('--strategy <name>', 'how the activation changes', Object.keys(STRATEGY_FLAGS), 'scratch'),
    )
    .option(
      '--activation <name>',
      'scratch: the activation (default: silu; stat-topk:k=0.08 with --ffn spark)',
    )
    .option('--from <name>', 'swift: activation before the switch (default: silu)')
    .option('--to <name>', 'swift, stocha: activation after the switch (default: relu)')
    .option(
      '--alpha <fraction>',
      'swift, stocha: fraction of the steps after the switch (default: 0.1)',
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
  flicker train --out runs/swift --strategy swift --from silu --to relu --alpha 0.1 --tokenizer bpe:1024
  flicker train --out runs/spark --ffn spark --intermediate-size 576
  flicker train --out runs/stocha --strategy stocha --p 0.7 --corpus notes/ --hidden-size 256`,
    )
    .action(async (flags: Record<string, unknown> & { out: string; corpus: string; tokenizer: string }) => {
      const strategy = parseFlags(strategySchema, strategyFlags(flags))
      const model = readSchemaFlags(modelSchema, flags)
      const training = readSchemaFlags(trainingSchema, flags)
      const data = prepareData(flags)
      log(`corpus: ${data.description}`)
      const bar = progressBar('training', training.steps)
      const trained = await train({
        directory: flags.out,
        model,
        strategy,
        training,
        data,
        fresh: flags.fresh === true,
        signal: interruptible(),
        onProgress: progress => bar.update(progress.step, note(progress)),
      }).finally(() => bar.stop())
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
}

/** The flags of the chosen strategy. Throws OptionError STRATEGY_OPTION for a flag of another one. */
function strategyFlags(flags: Record<string, unknown>): Record<string, unknown> {
  const strategy = String(flags.strategy)
  const own = STRATEGY_FLAGS[strategy]
  const keys = [...new Set(Object.values(STRATEGY_FLAGS).flat())].filter(key => flags[key] !== undefined)
  const other = keys.find(key => !own.includes(key))
  if (other !== undefined) {
    const owners = Object.keys(STRATEGY_FLAGS).filter(name => STRATEGY_FLAGS[name].includes(other))
    throw new OptionError(
      'STRATEGY_OPTION',
      `--${other} belongs to --strategy ${owners.join(' or ')}; --strategy ${strategy} has ` +
        `${own.map(key => `--${key}`).join(', ')}`,
    )
  }
  const given = Object.fromEntries(keys.map(key => [key, flags[key]]))
  // What the Spark Transformer is trained with: about 8 % of the neurons stay, through GELU.
  if (flags.strategy === 'scratch') given.activation ??= flags.ffn === 'spark' ? 'stat-topk:k=0.08' : 'silu'
  return { strategy: flags.strategy, ...given }
}

function note({ loss, activation, tokensPerSecond, secondsLeft }: TrainProgress): string {
  return `loss ${loss.toFixed(3)} · ${activation} · ${Math.round(tokensPerSecond)} tokens/s · ${duration(secondsLeft)} left`
}
