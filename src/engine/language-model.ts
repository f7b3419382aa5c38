// A model with its tokenizer: takes text or a conversation, generates tokens one by one, several continuations together.

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
import { type ToolCallFormat, toolCallFormat } from './chat/tool-format.js'
import type { EngineModel } from './engine-model.js'
import type { GeneratedToken, TokenConstraint } from './generation/continuation.js'
import {
  CHAT_OPTION_NAMES,
  type CheckedOptions,
  checkGenerateOptions,
  type GenerateManyOptions,
  type GenerateOptions,
  splitChatOptions,
} from './generation/generate-options.js'
import { type Completion, Generation } from './generation/generation.js'
import { requireReadable } from './generation/readable-tokens.js'
import type { TextEngine } from './generation/text-engine.js'
import { Grammars } from './grammar/text-grammar.js'
import {
  isTokenList,
  received,
  requireKnownOptions,
  requireOptionalType,
  requireOptionsObject,
} from './option-checks.js'

/** Text; token ids, which are read unchanged; or a conversation. */
export type Prompt = string | ArrayLike<number> | ChatPrompt

export interface LanguageModelExtras {
  /** End-of-text tokens in addition to the tokenizer's own. */
  readonly endOfText?: readonly number[]
  readonly chat?: ChatTemplates
  /** What a user should know about how the model's files were understood. */
  readonly notes?: readonly string[]
  /** Says that the results are not those of the weights, and why. Default null: they are. */
  readonly approximation?: string | null
}

/** What a prompt and options come to: the tokens that are read, and the options checked and completed. */
export interface PreparedPrompt {
  readonly tokens: readonly number[]
  readonly options: CheckedOptions
  /** With a grammar: that of each sequence. */
  readonly constraints: readonly TokenConstraint[]
}

export interface TokenListener {
  readonly onToken?: (token: GeneratedToken) => void
}

/** `Engine`: EngineModel on the CPU, DeviceModel on a GPU. */
export class LanguageModel<Engine extends TextEngine = EngineModel> {
  readonly engine: Engine
  readonly tokenizer: Tokenizer
  /** Tokens that end a text. */
  readonly endOfText: readonly number[]
  readonly chatTemplates: ChatTemplates
  /** What a user should know: how the model's files were understood, and what the engine makes of the options. */
  readonly notes: readonly string[]
  /** Says that the results are not those of the weights, and why; null where they are. */
  readonly approximation: string | null
  #grammars: Grammars | null = null
  readonly #toolFormats = new Map<string, Promise<ToolCallFormat>>()

  /**
   * The tokenizer may have fewer ids than the model has rows (vocabularies are often padded), but not more.
   * Throws TokenizerError VOCABULARY_MISMATCH.
   */
  constructor(engine: Engine, tokenizer: Tokenizer, extras: LanguageModelExtras = {}) {
    requireVocabularyFits(tokenizer, engine.config.vocabSize)
    this.engine = engine
    this.tokenizer = tokenizer
    const own = tokenizer.endOfText === null ? [] : [tokenizer.endOfText]
    this.endOfText = [...new Set([...own, ...(extras.endOfText ?? [])])]
    this.chatTemplates = extras.chat ?? NO_CHAT_TEMPLATES
    this.approximation = extras.approximation ?? null
    const approximate = this.approximation === null ? [] : [this.approximation]
    this.notes = [...(extras.notes ?? []), ...approximate, ...engine.notes]
  }

  get config(): ModelConfig {
    return this.engine.config
  }

  /**
   * Continues `prompt` until maxTokens, a stop string, an end-of-text token, or the end of the context. An empty prompt
   * starts a new document. An end-of-text token is generated too, without text of its own.
   * Throws with the first token OptionError for unknown options, values of the wrong type, out of range or in
   * contradiction, a prompt longer than the context (CONTEXT_OVERFLOW), too little memory (CACHE_MEMORY) or a conversation
   * that cannot be rendered.
   */
  async *generate(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    refuseMany(options)
    yield* (await this.#begin(prompt, options)).tokens()
  }

  /**
   * `n` continuations of one prompt, decoded together: the prompt is read once, and each weight once for all of them. The
   * text of each sequence is the same, bit for bit, as `generate` gives for that sequence alone.
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
    requireOptionsObject(options)
    const { chat, generate } = splitChatOptions(options)
    return this.generate({ messages, ...chat }, generate)
  }

  /**
   * The whole text that `generate` gives in pieces; what there is of it when the signal is aborted. onToken: called with
   * each token.
   */
  async complete(prompt: Prompt, options: GenerateOptions & TokenListener = {}): Promise<Completion> {
    refuseMany(options)
    return (await this.completeMany(prompt, options))[0]
  }

  /** The whole continuations that `generateMany` gives in pieces. */
  async completeMany(
    prompt: Prompt,
    options: GenerateManyOptions & TokenListener = {},
  ): Promise<Completion[]> {
    requireOptionsObject(options)
    const { onToken, ...generateOptions } = options
    requireOptionalType('onToken', 'function', onToken)
    const generation = await this.#begin(prompt, generateOptions)
    const tokens: GeneratedToken[] = []
    for await (const token of generation.tokens()) {
      tokens.push(token)
      onToken?.(token)
    }
    return generation.completions(tokens)
  }

  /** The text that a conversation becomes by the model's chat template. Throws as renderChat does. */
  async renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<string> {
    requireKnownOptions(options, CHAT_OPTION_NAMES)
    return renderChat(this.chatTemplates, { messages, ...options })
  }

  /**
   * How the model writes calls of tools, as its chat template shows them. Throws OptionError TOOLS_UNSUPPORTED, and as
   * renderChat does.
   */
  toolCallFormat(options: Pick<ChatOptions, 'template' | 'variables'> = {}): Promise<ToolCallFormat> {
    const key = JSON.stringify(options)
    const known = this.#toolFormats.get(key)
    if (known !== undefined) return known
    const endTexts = this.endOfText.map(id => new TextDecoder().decode(this.tokenizer.tokenBytes(id)))
    const found = toolCallFormat(prompt => renderChat(this.chatTemplates, prompt), endTexts, options)
    // Few variants are in use; variables come from clients, so there could be any number.
    if (this.#toolFormats.size >= 16) this.#toolFormats.clear()
    this.#toolFormats.set(key, found)
    found.catch(() => this.#toolFormats.delete(key))
    return found
  }

  /** Logits of every position: (tokens.length, vocab), row t seeing tokens 0 … t. Throws as EngineModel.logits does. */
  logits(tokens: ArrayLike<number>): ReturnType<Engine['logits']> {
    return this.engine.logits(tokens) as ReturnType<Engine['logits']>
  }

  /** Releases the weights; every later use of the model fails with MODEL_DISPOSED. */
  dispose(): void {
    this.#grammars?.dispose()
    this.engine.dispose()
  }

  /** Checks what `generateMany` would do, without doing it: for what runs many requests together. Throws as it does. */
  async prepare(prompt: Prompt, options: GenerateManyOptions = {}): Promise<PreparedPrompt> {
    const checked = checkGenerateOptions(options, this.engine.activation, this.tokenizer, this.endOfText)
    const tokens = Array.from(await this.#promptTokens(prompt))
    requireReadable(tokens, this.config, 0)
    return { tokens, options: checked, constraints: await this.#constraintsOf(checked) }
  }

  async #begin(prompt: Prompt, options: GenerateManyOptions): Promise<Generation> {
    const checked = checkGenerateOptions(options, this.engine.activation, this.tokenizer, this.endOfText)
    const tokens = await this.#promptTokens(prompt)
    return new Generation(this.engine, tokens, checked, await this.#constraintsOf(checked))
  }

  /** Throws OptionError GRAMMAR_REFUSED. */
  async #constraintsOf({ grammar, sequences }: CheckedOptions): Promise<readonly TokenConstraint[]> {
    if (grammar === null) return []
    this.#grammars ??= new Grammars(this.tokenizer, this.endOfText)
    const grammars = this.#grammars
    return Promise.all(sequences.map(() => grammars.open(grammar)))
  }

  async #promptTokens(prompt: Prompt): Promise<ArrayLike<number>> {
    const { tokenizer } = this
    if (isConversation(prompt)) {
      requireKnownOptions(prompt, { ...CHAT_OPTION_NAMES, messages: true })
      // The template writes every special token itself, the first one too.
      return tokenizer.encode(await renderChat(this.chatTemplates, prompt))
    }
    if (!(typeof prompt === 'string' || isTokenList(prompt))) {
      throw new OptionError(
        'PROMPT_INVALID',
        `the prompt must be text, an array of token ids or {messages: […]}, not ${received(prompt)}`,
      )
    }
    if (typeof prompt !== 'string' && prompt.length > 0) return prompt
    const tokens = typeof prompt === 'string' ? tokenizer.encode(prompt) : []
    const start = tokenizer.startOfText ?? (tokens.length === 0 ? tokenizer.endOfText : null)
    if (start !== null && start !== tokens[0]) return [start, ...tokens]
    if (tokens.length > 0) return tokens
    throw new OptionError(
      'PROMPT_EMPTY',
      'the prompt is empty, and the vocabulary has no token that starts a document; give some text',
    )
  }
}

function isConversation(prompt: Prompt): prompt is ChatPrompt {
  return typeof prompt === 'object' && prompt !== null && 'messages' in prompt
}

function refuseMany(options: GenerateManyOptions): void {
  requireOptionsObject(options)
  if (options.n === undefined || options.n === 1) return
  throw new OptionError(
    'N_RANGE',
    `n is ${received(options.n)}, but this function gives one continuation; call generateMany or completeMany`,
  )
}
