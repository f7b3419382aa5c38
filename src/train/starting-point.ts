// `from`: a run that starts with the weights of a checkpoint, of any kind that the engine reads. Its config and tokenizer
// are taken over; the memory that training needs is computed before any weights are read.

import fs from 'node:fs'
import { parseActivation } from '../activations/index.js'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { requireVocabularyFits } from '../data/tokenizers/tokenizer.js'
import type { TokenIds } from '../data/tokens.js'
import { FlickerError, OptionError, TokenizerError } from '../errors.js'
import { latestRunCheckpoint, type ModelSource, openModel } from '../formats/index.js'
import { type ModelConfig, modelConfigProblem } from '../nn/config.js'
import { Llama } from '../nn/llama.js'
import { parameterShapes } from '../nn/parameters.js'
import { availableMemory, trainingMemory } from './memory.js'
import type { TrainingOptions } from './options.js'
import { type RunStart, readRunOptions } from './run-directory.js'
import { measuresShift } from './shift.js'
import type { StrategyOptions } from './strategies.js'
import { isTrained, type TrainablePart } from './trainable.js'

/** An open checkpoint that a run starts from. */
export interface StartingPoint extends RunStart {
  /** The checkpoint's config; that of the run itself once it has a checkpoint of its own. */
  readonly config: ModelConfig
  readonly tokenizer: () => Tokenizer
  /** Whether the run has no checkpoint of its own yet, so that `load` gives its first weights. */
  readonly isFirst: boolean
  readonly notes: readonly string[]
  close(): void
}

/**
 * Opens the checkpoint `from` of the run in `directory`; once that has a checkpoint of its own, everything comes from
 * there and `from` is not read. `fresh`: the run starts over. Throws what openModel throws.
 */
export function openStartingPoint(from: string, directory: string, fresh = false): StartingPoint {
  const stored = fresh ? null : readRunOptions(directory)
  const latest = fresh ? null : latestRunCheckpoint(directory)
  const resumed = stored?.from !== undefined && latest !== null
  const source = openModel(resumed ? latest.dir : from)
  return {
    path: from,
    config: resumed ? (stored.model as unknown as ModelConfig) : source.config,
    activation: resumed ? (stored.from?.activation ?? source.config.activation) : source.config.activation,
    kept: keptOf(source),
    tokenizer: () => source.tokenizer(),
    load: (config, part) => loadFrom(source, config, part),
    isFirst: !resumed,
    notes: resumed ? [] : source.notes,
    close: () => source.close(),
  }
}

/** Chat templates and the tokens that begin and end texts; a model without tokenizer has none of these. */
function keptOf(source: ModelSource): StartingPoint['kept'] {
  const common = { chatTemplates: source.chatTemplates, endOfText: source.endOfText }
  try {
    const tokenizer = source.tokenizer()
    const named = (id: number | null | undefined) =>
      typeof id === 'number' ? { id, content: new TextDecoder().decode(tokenizer.tokenBytes(id)) } : null
    return {
      ...common,
      specialTokens: { start: named(tokenizer.startOfText), end: named(tokenizer.endOfText) },
    }
  } catch (error) {
    if (!(error instanceof FlickerError)) throw error
    return common
  }
}

function loadFrom(source: ModelSource, config: ModelConfig, part: TrainablePart): Llama {
  const starts = new Map(parameterShapes(config).map(({ name, start }) => [name, start]))
  const present = new Set(source.names)
  return Llama.from(
    config,
    name => {
      const start = starts.get(name)
      return present.has(name) || start === undefined ? source.tensor(name) : Float32Array.from(start)
    },
    name => isTrained(part, name),
  )
}

/**
 * The options of a strategy as a caller gave them, with the checkpoint's activation where a strategy needs the one to
 * begin with and none was given.
 */
export function withOwnActivation(
  strategy: unknown,
  { activation }: Pick<StartingPoint, 'activation'>,
): unknown {
  const given: Record<string, unknown> = Object(strategy)
  const key = { scratch: 'activation', swift: 'from', anneal: 'before' }[String(given.strategy)]
  return key === undefined || given[key] !== undefined ? strategy : { ...given, [key]: activation }
}

/**
 * `from` of a recipe or a command line: of `swift` the activation before the switch, where it is the name of one; else
 * the path of a checkpoint. Throws OptionError FROM_UNKNOWN for what is neither.
 */
export function splitFrom(strategy: unknown, from: string): { activation?: string; checkpoint?: string } {
  let why = ''
  if (strategy === 'swift') {
    try {
      return { activation: parseActivation(from).spec }
    } catch (error) {
      if (!(error instanceof FlickerError) || error.code === 'ACTIVATION_FILE_NOT_LOADED') throw error
      why = ` and no activation: ${error.message}`
    }
  }
  if (fs.existsSync(from)) return { checkpoint: from }
  throw new OptionError(
    'FROM_UNKNOWN',
    `from: ${from} is no checkpoint (there is nothing at this path)${why}`,
  )
}

/** Checks that a run fits the checkpoint that it starts from. Throws OptionError, TokenizerError. */
export function checkStart(
  start: StartingPoint,
  options: { readonly strategy: StrategyOptions; readonly training: TrainingOptions },
  data: { readonly tokenizer: Tokenizer; readonly train: TokenIds },
): void {
  const { config, path } = start
  const { training } = options
  if (training.context > config.maxPositionEmbeddings) {
    throw new OptionError(
      'CONTEXT_TOO_LONG',
      `context is ${training.context}, and ${path} was made for at most ${config.maxPositionEmbeddings} tokens; ` +
        'choose a shorter context',
    )
  }
  const ownFfn = options.strategy.strategy === 'relufy' && options.strategy.sides === 'both'
  if (config.ffn === 'plain' && (training.trainable === 'gate' || ownFfn)) {
    throw new OptionError(
      'NO_GATE',
      `${path} has an FFN without gate, ${ownFfn ? 'so there are no two sides' : 'so there is no gate to train'}; ` +
        `choose ${ownFfn ? '--sides gate' : '--trainable ffn or all'}`,
    )
  }
  measuresShift(options.strategy)
  if (options.strategy.strategy === 'relufy' && options.strategy.stage === 2) requireStageTwo(start)
  if (ownFfn && config.ffn !== 'gated' && config.ffn !== 'drelu') {
    throw new OptionError('NO_GATE', `${path} has a ${config.ffn} FFN, which cannot become a dReLU one`)
  }
  requireVocabularyFits(data.tokenizer, config.vocabSize)
  requireSameTokenizer(start, data)
}

/** Throws OptionError STAGE_NORMS: stage 2 of ReLU Strikes Back applies ReLU to what norms before the branches give. */
function requireStageTwo({ config, path }: Pick<StartingPoint, 'config' | 'path'>): void {
  const problem = modelConfigProblem({ ...config, normActivation: 'relu' })
  if (problem === null) return
  throw new OptionError(
    'STAGE_NORMS',
    `${path} cannot be continued with stage 2: ${problem}; choose --stage 1`,
  )
}

/** Tokens of the training text that the checkpoint's tokenizer must give again. */
const COMPARED_TOKENS = 2048

function requireSameTokenizer(
  start: StartingPoint,
  data: { readonly tokenizer: Tokenizer; readonly train: TokenIds },
): void {
  let own: Tokenizer
  try {
    own = start.tokenizer()
  } catch (error) {
    // A model without a tokenizer: what the data was made with has to be right.
    if (!(error instanceof FlickerError)) throw error
    return
  }
  const text = data.tokenizer.decode(data.train.subarray(0, COMPARED_TOKENS))
  if (own.encode(text).join() === data.tokenizer.encode(text).join()) return
  throw new TokenizerError(
    'TOKENIZER_DIFFERS',
    `the text was tokenized with ${data.tokenizer.name}, which gives other ids than the tokenizer of ${start.path} ` +
      `(${own.name}); leave out --tokenizer, or give the checkpoint's own`,
  )
}

/** What training needs, in one sentence. Throws OptionError MEMORY_SHORT when there is less. */
export function requireMemory(
  start: Pick<StartingPoint, 'path'>,
  config: ModelConfig,
  training: TrainingOptions,
  available = availableMemory(),
): string {
  const {
    weights,
    training: trained,
    working,
  } = trainingMemory(config, training, name => isTrained(training.trainable, name))
  const total = weights + trained + working
  const needs =
    `training ${start.path} needs about ${inUnits(total)} of memory: ${inUnits(weights)} for the weights, ` +
    `${inUnits(trained)} for gradients and moments, ${inUnits(working)} for a batch of ${training.batchSize} × ${training.context}`
  if (total <= available) return `${needs}; ${inUnits(available)} are available`
  throw new OptionError(
    'MEMORY_SHORT',
    `${needs}, and ${inUnits(available)} are available; choose a smaller batchSize (with accumulate for the same batch) ` +
      'or context, or --trainable ffn or gate',
  )
}

function inUnits(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}
