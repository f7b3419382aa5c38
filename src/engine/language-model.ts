// A model with its tokenizer: text or a conversation in, tokens out one by one, several texts of one prompt together.

import { requireVocabularyFits, type Tokenizer } from '../data/tokenizers/tokenizer.js'
import { OptionError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import {
  type ChatMessage,
  type ChatOptions,
  type ChatPrompt,
  type ChatTemplates,
  NO_CHAT_TEMPLATES,
  renderChat,
} from './chat/chat.js'
import type { EngineModel } from './engine-model.js'
import type { GeneratedToken } from './generation/continuation.js'
import {
  checkGenerateOptions,
  type GenerateManyOptions,
  type GenerateOptions,
  splitChatOptions,
} from './generation/generate-options.js'
import { type Completion, Generation } from './generation/generation.js'

/** Text; tokens, which are taken as they are; or a conversation. */
export type Prompt = string | ArrayLike<number> | ChatPrompt

export interface LanguageModelExtras {
  /** Tokens that end a text beside the tokenizer's own. */
  readonly endOfText?: readonly number[]
  readonly chat?: ChatTemplates
}

export interface TokenListener {
  readonly onToken?: (token: GeneratedToken) => void
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
   * than the context (CONTEXT_OVERFLOW), too little memory for the text (CACHE_MEMORY) or a conversation that cannot be
   * rendered.
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

  /**
   * The whole text that `generate` gives in pieces; what there is of it when the signal is aborted. onToken: called with
   * each token as it comes.
   */
  async complete(prompt: Prompt, options: GenerateOptions & TokenListener = {}): Promise<Completion> {
    refuseMany(options)
    return (await this.completeMany(prompt, options))[0]
  }

  /** The whole texts that `generateMany` gives in pieces. */
  async completeMany(
    prompt: Prompt,
    { onToken, ...options }: GenerateManyOptions & TokenListener = {},
  ): Promise<Completion[]> {
    const generation = await this.#begin(prompt, options)
    const tokens: GeneratedToken[] = []
    for await (const token of generation.tokens()) {
      tokens.push(token)
      onToken?.(token)
    }
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
    if (typeof prompt !== 'string' && !(typeof prompt === 'object' && prompt !== null)) {
      throw new OptionError(
        'PROMPT_INVALID',
        `the prompt must be text, token ids or {messages: […]}, not ${String(prompt)}`,
      )
    }
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
