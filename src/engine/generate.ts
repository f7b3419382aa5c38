// A model with its tokenizer: text or a conversation in, tokens out one by one, several texts of one prompt together.

import { requireVocabularyFits, type Tokenizer } from '../data/tokenizer.js'
import { OptionError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import {
  type ChatMessage,
  type ChatOptions,
  type ChatPrompt,
  type ChatTemplates,
  NO_CHAT_TEMPLATES,
  renderChat,
} from './chat.js'
import { Continuation, type FinishReason, type GeneratedToken } from './continuation.js'
import {
  type CheckedOptions,
  checkGenerateOptions,
  type GenerateManyOptions,
  type GenerateOptions,
  splitChatOptions,
} from './generate-options.js'
import type { EngineModel } from './model.js'
import { Session } from './session.js'
import { PREFILL_BLOCK } from './workspace.js'

/** Text; tokens, which are taken as they are; or a conversation. */
export type Prompt = string | ArrayLike<number> | ChatPrompt

export interface LanguageModelExtras {
  /** Tokens that end a text beside the tokenizer's own. */
  readonly endOfText?: readonly number[]
  readonly chat?: ChatTemplates
}

/** A whole text. */
export interface Completion {
  readonly sequence: number
  readonly text: string
  readonly finishReason: FinishReason
  /** The stop string that ended it, or null. */
  readonly stopString: string | null
  readonly tokens: readonly GeneratedToken[]
  readonly usage: {
    readonly promptTokens: number
    readonly completionTokens: number
    readonly totalTokens: number
  }
  readonly stats: CompletionStats
}

/** Of all texts of the call together. */
export interface CompletionStats {
  /** To the first token. */
  readonly promptSeconds: number
  /** After the first token. */
  readonly decodeSeconds: number
  /** Of all texts, after their first; null when there are none. */
  readonly tokensPerSecond: number | null
  /** Share of the neurons that were active, mean over this text's tokens, per layer. */
  readonly activeShare: readonly number[]
}

export class LanguageModel {
  readonly engine: EngineModel
  readonly tokenizer: Tokenizer
  /** Tokens that end a text. */
  readonly endOfText: readonly number[]
  readonly chatTemplates: ChatTemplates

  /**
   * The tokenizer may have fewer ids than the model has rows (vocabularies are often padded), but not more.
   * Throws TokenizerError VOCABULARY_MISMATCH.
   */
  constructor(engine: EngineModel, tokenizer: Tokenizer, extras: LanguageModelExtras = {}) {
    requireVocabularyFits(tokenizer, engine.config.vocabSize)
    this.engine = engine
    this.tokenizer = tokenizer
    const own = tokenizer.endOfText === null ? [] : [tokenizer.endOfText]
    this.endOfText = [...new Set([...own, ...(extras.endOfText ?? [])])]
    this.chatTemplates = extras.chat ?? NO_CHAT_TEMPLATES
  }

  get config(): ModelConfig {
    return this.engine.config
  }

  /**
   * Continues `prompt` until maxTokens, a stop string, a token that ends a text, or the end of the context. An empty
   * prompt starts a new document. A token that ends the text is given too, with no text of its own.
   * Throws, when first asked for a token, OptionError for options out of range or in contradiction, a prompt longer
   * than the context (CONTEXT_OVERFLOW) or a conversation that cannot be rendered.
   */
  async *generate(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    refuseMany(options)
    yield* (await this.#begin(prompt, options)).tokens()
  }

  /**
   * `n` texts of one prompt, decoded together: the prompt is read once, and each weight once for all of them. The text
   * of each sequence is the same, bit for bit, as `generate` gives for that sequence alone.
   */
  async *generateMany(
    prompt: Prompt,
    options: GenerateManyOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    yield* (await this.#begin(prompt, options)).tokens()
  }

  /** `generate` for a conversation. */
  chat(
    messages: readonly ChatMessage[],
    options: GenerateOptions & ChatOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    const { chat, generate } = splitChatOptions(options)
    return this.generate({ messages, ...chat }, generate)
  }

  /** The whole text that `generate` gives in pieces; what there is of it when the signal is aborted. */
  async complete(prompt: Prompt, options: GenerateOptions = {}): Promise<Completion> {
    refuseMany(options)
    return (await this.completeMany(prompt, options))[0]
  }

  /** The whole texts that `generateMany` gives in pieces. */
  async completeMany(prompt: Prompt, options: GenerateManyOptions = {}): Promise<Completion[]> {
    const generation = await this.#begin(prompt, options)
    const tokens: GeneratedToken[] = []
    for await (const token of generation.tokens()) tokens.push(token)
    return generation.completions(tokens)
  }

  /** The text that a conversation becomes by the model's chat template. Throws as renderChat does. */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<string> {
    return renderChat(this.chatTemplates, { messages, ...options })
  }

  /** Logits of every position: (tokens.length, vocab), row t seeing tokens 0 … t. Throws OptionError CONTEXT_OVERFLOW. */
  logits(tokens: ArrayLike<number>): Float32Array {
    return this.engine.logits(tokens)
  }

  /** Lets go of the weights; whatever is asked of the model afterwards fails with MODEL_DISPOSED. */
  dispose(): void {
    this.engine.dispose()
  }

  async #begin(prompt: Prompt, options: GenerateManyOptions): Promise<Generation> {
    const checked = checkGenerateOptions(options, this.engine, this.tokenizer, this.endOfText)
    return new Generation(this.engine, await this.#promptTokens(prompt), checked)
  }

  async #promptTokens(prompt: Prompt): Promise<ArrayLike<number>> {
    const { tokenizer } = this
    if (typeof prompt === 'object' && 'messages' in prompt) {
      // The template writes every special token itself, the first one too.
      return tokenizer.encode(await renderChat(this.chatTemplates, prompt))
    }
    if (typeof prompt !== 'string' && prompt.length > 0) return prompt
    const tokens = typeof prompt === 'string' ? tokenizer.encode(prompt) : []
    const start = tokenizer.startOfText ?? (tokens.length === 0 ? tokenizer.endOfText : null)
    if (start !== null && start !== tokens[0]) return [start, ...tokens]
    if (tokens.length > 0) return tokens
    throw new OptionError(
      'PROMPT_EMPTY',
      'the prompt is empty, and the vocabulary has no token that starts a document; give some text to go on from',
    )
  }
}

function refuseMany(options: GenerateManyOptions): void {
  if (options.n === undefined || options.n === 1) return
  throw new OptionError(
    'N_RANGE',
    `n is ${options.n}, but this gives one text; ask generateMany or completeMany`,
  )
}

/** One call: its texts, while they are decoded. */
class Generation {
  readonly #engine: EngineModel
  readonly #prompt: ArrayLike<number>
  readonly #options: CheckedOptions
  readonly #started = performance.now()
  #firstToken = Number.NaN
  #ended = Number.NaN
  #texts: Continuation[] = []

  /** Throws OptionError CONTEXT_OVERFLOW. */
  constructor(engine: EngineModel, prompt: ArrayLike<number>, options: CheckedOptions) {
    const { maxPositionEmbeddings } = engine.config
    if (prompt.length > maxPositionEmbeddings) {
      throw new OptionError(
        'CONTEXT_OVERFLOW',
        `the prompt is ${prompt.length} tokens long, but the model's context is ${maxPositionEmbeddings}; shorten it`,
      )
    }
    this.#engine = engine
    this.#prompt = prompt
    this.#options = options
  }

  /** The tokens of all texts, in the order of the texts at each position. */
  async *tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const { signal } = this.#options
    let running = await this.#start()
    while (running.length > 0) {
      const ids: number[] = []
      const going: Continuation[] = []
      for (const text of running) {
        if (signal?.aborted) break
        const token = text.next()
        if (Number.isNaN(this.#firstToken)) this.#firstToken = performance.now()
        this.#ended = performance.now()
        if (text.finishReason === null) {
          going.push(text)
          ids.push(token.id)
        }
        yield token
      }
      if (going.length === 0 && !signal?.aborted) return
      await timersTurn()
      if (signal?.aborted) break
      if (going.length === 1) going[0].session.step(ids[0])
      else
        Session.stepTogether(
          going.map(({ session }) => session),
          ids,
        )
      running = going
    }
    for (const text of running) if (text.finishReason === null) text.abort()
  }

  completions(tokens: readonly GeneratedToken[]): Completion[] {
    const { sequences } = this.#options
    const { intermediateSize } = this.#engine.config
    const decodeSeconds = seconds(this.#firstToken, this.#ended)
    const later = tokens.length - sequences.length
    return sequences.map((sequence, i): Completion => {
      const own = tokens.filter(token => token.sequence === sequence)
      const text = this.#texts.at(i)
      const promptTokens = this.#prompt.length
      return {
        sequence,
        text: text?.text ?? '',
        finishReason: text?.finishReason ?? 'aborted',
        stopString: text?.stopString ?? null,
        tokens: own,
        usage: { promptTokens, completionTokens: own.length, totalTokens: promptTokens + own.length },
        stats: {
          promptSeconds: seconds(this.#started, this.#firstToken),
          decodeSeconds,
          tokensPerSecond: later > 0 && decodeSeconds > 0 ? later / decodeSeconds : null,
          activeShare: activeShare(own, intermediateSize),
        },
      }
    })
  }

  /** Reads the prompt; the texts that go on from it, none when the signal is aborted meanwhile. */
  async #start(): Promise<Continuation[]> {
    const { seed, sequences, activation, maxTokens, signal } = this.#options
    const prompt = Array.from(this.#prompt)
    // A prompt has the draws of sequence 0 whatever texts follow, so that they can share it. But where neurons are
    // drawn, each text reads the prompt's last token with draws of its own: their first tokens differ already.
    const alone = sequences.length === 1 && sequences[0] === 0
    const own = activation.draws && !alone ? prompt.slice(-1) : []
    const common = prompt.slice(0, prompt.length - own.length)
    const shared = this.#engine.session({ seed, sequence: 0, activation })
    for (let start = 0; start < common.length; start += PREFILL_BLOCK) {
      if (start > 0) await timersTurn()
      if (signal?.aborted) return []
      shared.prefill(common.slice(start, start + PREFILL_BLOCK))
    }
    const sessions = alone ? [shared] : shared.fork(sequences.map(sequence => ({ sequence })))
    for (const token of own) Session.stepTogether(sessions, Array(sessions.length).fill(token))

    const room = this.#engine.config.maxPositionEmbeddings - prompt.length + 1
    const rules = {
      ...this.#options,
      limit: Math.min(maxTokens, room),
      limitReason: maxTokens <= room ? ('length' as const) : ('context' as const),
    }
    this.#texts = sessions.map(session => new Continuation(rules, session, prompt))
    return this.#texts
  }
}

/** Timers and signals get their turn: a loop of microtasks alone would hold them up until the end. */
function timersTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function seconds(from: number, to: number): number {
  return Number.isNaN(to - from) ? 0 : (to - from) / 1000
}

function activeShare(tokens: readonly GeneratedToken[], neurons: number): number[] {
  const shares: number[] = Array.from(tokens[0]?.activeNeurons ?? [], () => 0)
  for (const { activeNeurons } of tokens) {
    for (const [layer, active] of activeNeurons.entries()) shares[layer] += active / neurons / tokens.length
  }
  return shares
}
