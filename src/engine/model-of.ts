// From an open model to one that generates: what loading is in Node, where paths are given, and in a browser, where files
// are.

import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { OptionError } from '../errors.js'
import type { ModelSource } from '../formats/model-source.js'
import { DeviceModel, type DeviceOptions } from './device/device-model.js'
import { EngineModel } from './engine-model.js'
import type { EngineOptions } from './engine-options.js'
import { LanguageModel } from './language-model.js'
import { received } from './option-checks.js'

export interface SourceOptions extends Omit<EngineOptions, 'compact' | 'cuts'> {
  readonly backend?: 'cpu' | 'webgpu'
  /** Without the model's cuts. */
  readonly exact?: boolean
  /** The tokens of `EngineOptions.compact`. */
  readonly compact?: (tokenizer: Tokenizer) => ArrayLike<number>
}

/** The model in `source`, which the caller closes. Throws as `load` does. */
export async function modelOf(
  source: ModelSource,
  { backend = 'cpu', exact = false, compact, ...options }: SourceOptions,
): Promise<LanguageModel<EngineModel | DeviceModel>> {
  const tokenizer = source.tokenizer()
  const cuts = exact ? null : (source.cuts?.() ?? null)
  const engine =
    backend === 'webgpu'
      ? await DeviceModel.create(source.config, source, { ...deviceOptions(options), cuts })
      : new EngineModel(source.config, source, {
          ...options,
          cuts,
          ...(compact !== undefined && { compact: compact(tokenizer) }),
        })
  return new LanguageModel(engine, tokenizer, {
    endOfText: source.endOfText,
    notes: source.notes,
    approximation: approximationOf(engine, source),
    chat: {
      templates: source.chatTemplates,
      specialTokens: { ...ownSpecialTokens(tokenizer), ...source.specialTokens },
    },
  })
}

/** What a user must know of a model whose results are not those of its weights. */
function approximationOf(engine: EngineModel | DeviceModel, { sparsity }: ModelSource): string | null {
  if (!engine.approximate) return null
  if (engine instanceof EngineModel && engine.selector !== null) {
    return `approximate: ${engine.selector.description}; without --reuse and --predictor the text is exact`
  }
  if (!sparsity) return null
  const { method, level } = sparsity
  const prompt = {
    none: 'not to the prompt',
    half: "to the prompt's second half too",
    all: 'to the prompt too',
  }
  return (
    `approximate: cut by ${method} to ${(100 * level).toPrecision(3)} % sparsity, applied to generated tokens and ` +
    `${prompt[engine.sparsePrompt]}; --exact runs the same weights without cuts`
  )
}

/** Throws OptionError BACKEND_UNKNOWN, WEBGPU_OPTION. */
export function requireBackend(
  backend: string,
  options: Omit<EngineOptions, 'compact' | 'predictor'> & {
    readonly compact?: unknown
    readonly predictor?: unknown
  },
): void {
  const { activations, compact, kernels, kv, narrowGate, memory, observer, reuse, predictor } = options
  if (backend === 'cpu') return
  if (backend !== 'webgpu') {
    throw new OptionError('BACKEND_UNKNOWN', `backend must be cpu or webgpu, not ${received(backend)}`)
  }
  const unusable = {
    'activations int16': activations === 'int16',
    compact: compact !== undefined,
    reuse: reuse !== undefined,
    predictor: predictor !== undefined,
    kernels: kernels !== undefined,
    memory: memory !== undefined,
    observer: observer !== undefined,
    [`kv ${kv}`]: kv !== undefined && kv !== 'f32',
    'narrowGate on': narrowGate === 'on',
  }
  const [option] = Object.entries(unusable).find(([, given]) => given) ?? []
  if (option === undefined) return
  throw new OptionError('WEBGPU_OPTION', `the WebGPU backend has no ${option}; leave it out, or the backend`)
}

function deviceOptions({ dtype, ffn, activation, context, sparsePrompt }: EngineOptions): DeviceOptions {
  return { dtype, ffn, activation, context, sparsePrompt }
}

/** For the templates of a model whose files name no special tokens. */
function ownSpecialTokens(tokenizer: Tokenizer): Record<string, string> {
  const { startOfText = null, endOfText } = tokenizer
  const textOf = (id: number) => new TextDecoder().decode(tokenizer.tokenBytes(id))
  return {
    ...(startOfText !== null && { bos_token: textOf(startOfText) }),
    ...(endOfText !== null && { eos_token: textOf(endOfText) }),
  }
}
