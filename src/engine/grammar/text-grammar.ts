// The tokens that may follow in a text with a grammar. A thread works them out while the model computes the next logits.
// A grammar that is refused breaks XGrammar's module, and one may hang it: so a new grammar is first tried in another thread,
// which is replaced whenever it refuses, and texts go on in a new thread when theirs dies.

import { BYTE_CHARACTERS, toByteLevel } from '../../data/tokenizers/byte-level.js'
import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { FlickerError, OptionError } from '../../errors.js'
import type { TokenConstraint } from '../generation/continuation.js'
import type { Grammar } from './grammar.js'
import { GrammarThread, ThreadLost } from './grammar-thread.js'
import type { Answer, Vocabulary } from './xgrammar-thread.js'

/** For a grammar to be compiled, or a token to be accepted. */
const MOST_MILLISECONDS = 10_000
/** Grammars that are known to compile. */
const MOST_TRIED = 256

/** Tries grammars of all models: whether one is refused does not depend on the vocabulary. */
const trials = new GrammarThread(
  () => ({ tokens: [...BYTE_CHARACTERS, '<end>'], stopIds: [BYTE_CHARACTERS.length] }),
  MOST_MILLISECONDS,
)
/** As JSON, least recently tried first. */
const tried = new Set<string>()

/** Throws OptionError GRAMMAR_REFUSED. */
async function tryGrammar(grammar: Grammar): Promise<void> {
  const key = JSON.stringify(grammar)
  if (tried.has(key)) return
  let answer: Answer
  try {
    answer = await trials.ask({ check: grammar })
  } catch (cause) {
    if (!(cause instanceof ThreadLost)) throw cause
    throw tooHard(cause)
  }
  if ('refused' in answer) trials.end()
  requireUsable(answer)
  tried.add(key)
  for (const oldest of tried) {
    if (tried.size <= MOST_TRIED) break
    tried.delete(oldest)
  }
}

function tooHard(cause: unknown): OptionError {
  const message = 'the grammar takes too long, or more memory than there is; make it simpler'
  return new OptionError('GRAMMAR_REFUSED', message, { cause })
}

function requireUsable(answer: Answer): void {
  if ('refused' in answer) {
    throw new OptionError('GRAMMAR_REFUSED', `the grammar cannot be used: ${answer.refused}`)
  }
  if ('failed' in answer) {
    throw new FlickerError('GRAMMAR_FAILED', `the grammar failed: ${answer.failed}`, { exitCode: 1 })
  }
}

/** The grammars of one model's texts. */
export class Grammars {
  readonly #thread: GrammarThread
  #texts = 0
  /** Texts that nobody closed, because nobody began them. */
  readonly #forgotten = new FinalizationRegistry<number>(text => this.#thread.tell({ close: text }))

  constructor(tokenizer: Tokenizer, stopIds: readonly number[], milliseconds = MOST_MILLISECONDS) {
    let vocabulary: Vocabulary | null = null
    this.#thread = new GrammarThread(() => {
      vocabulary ??= vocabularyOf(tokenizer, stopIds)
      return vocabulary
    }, milliseconds)
  }

  /** The constraint of a text that begins. Throws OptionError GRAMMAR_REFUSED. */
  async open(grammar: Grammar): Promise<TextGrammar> {
    await tryGrammar(grammar)
    const number = this.#texts++
    const text = new TextGrammar(this.#thread, { grammar, number }, () => this.#forgotten.unregister(text))
    this.#forgotten.register(text, number, text)
    await text.ready()
    return text
  }

  /** Ends the thread of the texts. */
  dispose(): void {
    this.#thread.end()
  }
}

/** Which tokens may follow in one text. */
class TextGrammar implements TokenConstraint {
  readonly #thread: GrammarThread
  readonly #grammar: Grammar
  readonly #number: number
  readonly #onDispose: () => void
  readonly #tokens: number[] = []
  #allowed: Int32Array | null = null
  #ready: Promise<void>
  #error: unknown

  constructor(
    thread: GrammarThread,
    { grammar, number }: { grammar: Grammar; number: number },
    onDispose: () => void,
  ) {
    this.#thread = thread
    this.#grammar = grammar
    this.#number = number
    this.#onDispose = onDispose
    this.#ready = this.#working(this.#open())
  }

  get allowed(): Int32Array | null {
    return this.#allowed
  }

  async ready(): Promise<void> {
    await this.#ready
    if (this.#error !== undefined) throw this.#error
  }

  accept(token: number): void {
    this.#allowed = null
    this.#ready = this.#working(this.#accept(token))
  }

  dispose(): void {
    this.#thread.tell({ close: this.#number })
    this.#onDispose()
  }

  /** What goes wrong is thrown by `ready`, and by nothing that nobody waits for. */
  #working(work: Promise<void>): Promise<void> {
    return work.catch(error => {
      this.#error = error
    })
  }

  async #open(): Promise<void> {
    const ask = () => this.#thread.ask({ open: this.#grammar, text: this.#number, tokens: this.#tokens })
    const retried = (error: unknown) => {
      if (error instanceof ThreadLost) return ask()
      throw error
    }
    try {
      // A thread may end because of the grammar of another text; a second time it was this one.
      this.#take(await ask().catch(retried))
    } catch (error) {
      throw error instanceof ThreadLost ? tooHard(error) : error
    }
  }

  async #accept(token: number): Promise<void> {
    const answer = await this.#thread.ask({ accept: token, text: this.#number }).catch(error => {
      if (error instanceof ThreadLost) return null
      throw error
    })
    this.#tokens.push(token)
    if (answer === null || 'unknown' in answer) await this.#open()
    else this.#take(answer)
  }

  #take(answer: Answer): void {
    requireUsable(answer)
    if (!('mask' in answer && answer.mask.some(word => word !== 0))) {
      const message = 'no token of the vocabulary continues the text as the grammar wants it'
      throw new OptionError('GRAMMAR_DEAD_END', message)
    }
    this.#allowed = answer.mask
  }
}

function vocabularyOf(tokenizer: Tokenizer, stopIds: readonly number[]): Vocabulary {
  const tokens = Array.from({ length: tokenizer.vocabSize }, (_, id) => toByteLevel(tokenizer.tokenBytes(id)))
  return { tokens, stopIds }
}
