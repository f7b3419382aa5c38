// A model ready to decode: weights in the engine's layout, the activation that it runs with, and the working buffers
// that its sessions share (they run one after the other).

import { type Activation, parseActivation } from '../activations/index.js'
import { CheckpointError, FlickerError, OptionError } from '../errors.js'
import { type DecodeKernels, decodeKernelsOf, type Kernels, kernels } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import { modelConfigProblem } from '../nn/validate-config.js'
import { RotationTable } from './kv-cache.js'
import { Session, type SessionOptions } from './session.js'
import { type EngineDtype, type EngineWeights, layOutWeights } from './weights.js'
import { Workspace } from './workspace.js'

export interface EngineOptions {
  /** How matrices are stored in memory. Default f32. */
  readonly dtype?: EngineDtype
  /** Skip the neurons that are exactly 0; the result is the same. Default true. */
  readonly sparse?: boolean
  /** Instead of the config's, e.g. `stocha:p=0.3`. */
  readonly activation?: string
  /** Backend; default: the one that the process uses. */
  readonly kernels?: Kernels
}

export class EngineModel {
  readonly dtype: EngineDtype
  readonly sparse: boolean
  readonly activation: Activation
  readonly kernels: Kernels
  readonly decode: DecodeKernels
  readonly rotation: RotationTable
  readonly workspace: Workspace
  #weights: EngineWeights | null

  /**
   * `tensor` gives the tensors of `parameterShapes(config)` by their Hugging Face names.
   * Throws CheckpointError (a config or tensor that does not fit), OptionError, ActivationError.
   */
  constructor(
    readonly config: ModelConfig,
    tensor: (name: string) => Float32Array,
    options: EngineOptions = {},
  ) {
    const { dtype = 'f32', sparse = true, activation = config.activation } = options
    if (dtype !== 'f32' && dtype !== 'bf16') {
      throw new OptionError('DTYPE_UNKNOWN', `dtype must be f32 or bf16, not "${dtype}"`)
    }
    const problem = modelConfigProblem(config)
    if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `the model's config: ${problem}`)
    this.dtype = dtype
    this.sparse = sparse
    this.activation = parseActivation(activation)
    this.kernels = options.kernels ?? kernels()
    this.decode = decodeKernelsOf(this.kernels)
    this.rotation = new RotationTable(config)
    this.workspace = new Workspace(config)
    this.#weights = layOutWeights(config, tensor, dtype)
  }

  /** Throws FlickerError MODEL_DISPOSED after dispose(). */
  get weights(): EngineWeights {
    if (this.#weights !== null) return this.#weights
    throw new FlickerError('MODEL_DISPOSED', 'this model was disposed of; load it again', { exitCode: 1 })
  }

  /** A new text, empty. */
  session(options: SessionOptions = {}): Session {
    return new Session(this, options)
  }

  /** Logits of every position: (tokens.length, vocab), row t seeing tokens 0 … t. Throws as Session.prefill does. */
  logits(tokens: ArrayLike<number>, options: SessionOptions = {}): Float32Array {
    const all = new Float32Array(tokens.length * this.config.vocabSize)
    this.session(options).prefill(tokens, all)
    return all
  }

  /** Lets go of the weights, which are freed when nothing else holds them. */
  dispose(): void {
    this.#weights = null
  }
}
