// A model with its tokenizer: text in, tokens out one by one.

import { parseActivation } from '../activations/index.js'
import { requireVocabularyFits, type Tokenizer } from '../data/tokenizer.js'
import { OptionError } from '../errors.js'
import type { Kernels } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { EngineModel } from './model.js'
import { checkSampling, chooseToken, type SamplingOptions } from './samplers.js'
import { TextStream } from './text-stream.js'

export interface GenerateOptions extends SamplingOptions {
  /** Tokens to generate at most; the model's context may end the text sooner. Default 128. */
  readonly maxTokens?: number
  /** Of sampling and of drawn activations: a whole number ≥ 0. Default 0. */
  readonly seed?: number
  /** Which of several texts with this seed. Default 0. */
  readonly sequence?: number
  /** Instead of the model's, e.g. `stocha:p=0.3`: drawn while decoding, for diverse texts even at temperature 0. */
  readonly activation?: string
  /** Go on after the token that ends a document. Default false. */
  readonly ignoreEndOfText?: boolean
  /** Once it is aborted, no further token comes. */
  readonly signal?: AbortSignal
}

export interface GeneratedToken {
  readonly id: number
  /** The characters that this token completes; may be empty. All texts together are the whole text. */
  readonly text: string
  /** log of its probability under the model (temperature 1, nothing cut off), nats. */
  readonly logprob: number
  /** Active neurons per layer in the step that gave this token. */
  readonly activeNeurons: Int32Array
}

export class LanguageModel {
  readonly engine: EngineModel
  readonly tokenizer: Tokenizer

  /**
   * The tokenizer may have fewer ids than the model has rows (vocabularies are often padded), but not more.
   * Throws TokenizerError VOCABULARY_MISMATCH.
   */
  constructor(engine: EngineModel, tokenizer: Tokenizer) {
    requireVocabularyFits(tokenizer, engine.config.vocabSize)
    this.engine = engine
    this.tokenizer = tokenizer
  }

  get config(): ModelConfig {
    return this.engine.config
  }

  /**
   * Continues `prompt` (text, or tokens as they are) until maxTokens, the end-of-text token or the end of the context.
   * An empty prompt starts a new document. The end-of-text token itself is given too, with no text of its own.
   * Throws OptionError for options out of range and for a prompt longer than the context, when first asked for a token.
   */
  async *generate(
    prompt: string | ArrayLike<number>,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    const { engine, tokenizer } = this
    const { maxTokens = 128, seed = 0, sequence = 0, ignoreEndOfText = false, signal } = options
    const sampling = checkSampling(options)
    if (!(Number.isInteger(maxTokens) && maxTokens >= 1)) {
      throw new OptionError(
        'MAX_TOKENS_RANGE',
        `maxTokens must be a whole number of at least 1, not ${maxTokens}`,
      )
    }
    const activation = options.activation === undefined ? undefined : parseActivation(options.activation)
    const session = engine.session({ seed, sequence, activation })
    const tokens = this.#promptTokens(prompt)
    if (signal?.aborted) return

    const stream = new TextStream(tokenizer)
    let logits = session.prefill(tokens)
    const limit = Math.min(maxTokens, engine.config.maxPositionEmbeddings - tokens.length + 1)
    for (let count = 1; ; count++) {
      const id = this.#choose(logits, sampling, { seed, sequence, position: session.position })
      const ended = id === tokenizer.endOfText && !ignoreEndOfText
      const last = ended || count >= limit
      const text = (ended ? '' : stream.push(id)) + (last ? stream.end() : '')
      const logprob = logProbability(engine.kernels, logits, id)
      yield { id, text, logprob, activeNeurons: session.activeNeurons.slice() }
      if (last) return
      // Timers and signals get their turn: a loop of microtasks alone would hold them up until the end.
      await new Promise(resolve => setImmediate(resolve))
      if (signal?.aborted) return
      logits = session.step(id)
    }
  }

  /** Logits of every position: (tokens.length, vocab), row t seeing tokens 0 … t. Throws OptionError CONTEXT_OVERFLOW. */
  logits(tokens: ArrayLike<number>): Float32Array {
    return this.engine.logits(tokens)
  }

  /** Lets go of the weights. */
  dispose(): void {
    this.engine.dispose()
  }

  /** Among the tokenizer's ids: rows beyond them only pad the vocabulary, and have no text. */
  #choose(
    logits: Float32Array,
    sampling: Required<SamplingOptions>,
    place: { seed: number; sequence: number; position: number },
  ): number {
    return chooseToken(logits.subarray(0, this.tokenizer.vocabSize), sampling, place)
  }

  #promptTokens(prompt: string | ArrayLike<number>): ArrayLike<number> {
    const tokens = typeof prompt === 'string' ? this.tokenizer.encode(prompt) : prompt
    if (tokens.length > 0) return tokens
    if (this.tokenizer.endOfText !== null) return [this.tokenizer.endOfText]
    throw new OptionError(
      'PROMPT_EMPTY',
      'the prompt is empty, and the vocabulary has no token that starts a document; give some text to go on from',
    )
  }
}

const one = { target: new Int32Array(1), loss: new Float32Array(1) }

/** log softmax(logits)[id]. */
function logProbability(kernels: Kernels, logits: Float32Array, id: number): number {
  one.target[0] = id
  kernels.crossEntropy(logits, one.target, one.loss, null, 1, logits.length, 1)
  return -one.loss[0]
}
