// Continuous batching: requests join and leave between two tokens, and each pass over the weights serves all that decode.
// Long prompts are read in pieces between the passes, so that they do not hold up the others. What runs beside a request
// never changes its text: the engine gives a sequence the same bits in any company and with any division of its prompt.

import { Continuation } from '../engine/generation/continuation.js'
import { logSumExp, topLogprobs } from '../engine/generation/logprobs.js'
import { type LanguageModel, Session } from '../engine/index.js'
import { cacheBytesPerPosition } from '../engine/model/memory.js'
import { FlickerError, OptionError } from '../errors.js'
import { kernels } from '../kernels/index.js'
import { Job, type Request } from './job.js'
import { PrefixCache } from './prefix-cache.js'

export interface SchedulerOptions {
  /** Sequences that decode together at most. Default 32. */
  readonly maxBatch?: number
  /** Requests that wait at most, besides those that run. Default 128. */
  readonly maxQueue?: number
  /** Tokens of prompts that are read between two tokens of the others. Default 128. */
  readonly promptPiece?: number
  /** Bytes for keys and values, of running requests and of kept beginnings together. Default: half of what is free. */
  readonly cacheMemory?: number
}

/** Counts since the start, for monitoring. */
export interface SchedulerCounts {
  promptTokens: number
  cachedTokens: number
  promptSeconds: number
  generatedTokens: number
  decodeSeconds: number
  passes: number
  /** Sum over the passes of the sequences that took part. */
  sequences: number
  /** Neurons of the FFNs that were not exactly 0, over layers and generated tokens. */
  activeNeurons: number
}

export class Scheduler {
  readonly model: LanguageModel
  readonly counts: SchedulerCounts = {
    promptTokens: 0,
    cachedTokens: 0,
    promptSeconds: 0,
    generatedTokens: 0,
    decodeSeconds: 0,
    passes: 0,
    sequences: 0,
    activeNeurons: 0,
  }
  readonly #maxBatch: number
  readonly #maxQueue: number
  readonly #promptPiece: number
  readonly #cacheMemory: number
  readonly #bytesPerPosition: number
  readonly #prefixes: PrefixCache
  #queue: Job[] = []
  #jobs: Job[] = []
  #looping = false
  #wake: (() => void) | null = null
  #closed = false

  constructor(model: LanguageModel, options: SchedulerOptions = {}) {
    this.model = model
    this.#maxBatch = options.maxBatch ?? 32
    this.#maxQueue = options.maxQueue ?? 128
    this.#promptPiece = options.promptPiece ?? 128
    const { config, kv } = model.engine
    this.#bytesPerPosition = cacheBytesPerPosition({ config, type: kv })
    this.#cacheMemory = options.cacheMemory ?? Math.floor(process.availableMemory() / 2)
    this.#prefixes = new PrefixCache(this.#bytesPerPosition, this.#cacheMemory)
  }

  /** Requests that run, and that wait. */
  get load(): { readonly running: number; readonly waiting: number } {
    const living = (jobs: readonly Job[]) => jobs.filter(job => !job.ended && !job.aborted).length
    return { running: living(this.#jobs), waiting: living(this.#queue) }
  }

  /**
   * Puts a request in line. Its signal ends it at once, wherever it is. Throws OptionError QUEUE_FULL, CACHE_MEMORY,
   * N_RANGE, and FlickerError SERVER_CLOSING.
   */
  submit(request: Request): Job {
    try {
      return this.#submit(request)
    } catch (error) {
      for (const constraint of request.prepared.constraints) constraint.dispose()
      throw error
    }
  }

  #submit(request: Request): Job {
    const { tokens, options } = request.prepared
    const n = options.sequences.length
    if (this.#closed) throw new FlickerError('SERVER_CLOSING', 'the server is shutting down', { exitCode: 1 })
    if (this.#queue.length >= this.#maxQueue) {
      throw new OptionError(
        'QUEUE_FULL',
        `${this.#queue.length} requests are waiting already; try again later`,
      )
    }
    if (n > this.#maxBatch) {
      throw new OptionError(
        'N_RANGE',
        `n is ${n}, but at most ${this.#maxBatch} sequences decode together here`,
      )
    }
    const positions = tokens.length + (this.#limit(request) - 1) * n
    const bytes = positions * this.#bytesPerPosition
    if (bytes > this.#cacheMemory) {
      throw new OptionError(
        'CACHE_MEMORY',
        `the request may need ${positions} positions of cache, the server has memory for ` +
          `${Math.floor(this.#cacheMemory / this.#bytesPerPosition)}; ask for fewer tokens`,
      )
    }
    const job = new Job(request, positions, () => this.#wake?.())
    this.#queue.push(job)
    this.#wake?.()
    if (!this.#looping) {
      this.#looping = true
      setImmediate(() => void this.#loop())
    }
    return job
  }

  /** Takes no more requests; resolves when those that it has are finished, after `grace` seconds by ending them. */
  async close(grace = 0): Promise<void> {
    this.#closed = true
    const until = performance.now() + 1000 * grace
    while (this.#jobs.length + this.#queue.length > 0 && performance.now() < until) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    const error = new FlickerError('SERVER_CLOSING', 'the server is shutting down', { exitCode: 1 })
    for (const job of [...this.#jobs, ...this.#queue]) job.end(error)
    this.#prefixes.shrink(0)
    this.#wake?.()
  }

  async #loop(): Promise<void> {
    for (;;) {
      for (const job of [...this.#queue, ...this.#jobs]) if (job.aborted) job.end()
      this.#queue = this.#queue.filter(job => !job.ended)
      this.#jobs = this.#jobs.filter(job => !job.ended)
      this.#admit()
      const read = this.#readPrompts()
      // Those that had to wait for their grammars.
      for (const job of this.#jobs) this.#choose(job)
      const decoded = this.#decode()
      if (this.#jobs.length === 0 && this.#queue.length === 0) break
      if (read || decoded) await new Promise(resolve => setImmediate(resolve))
      else await new Promise<void>(resolve => (this.#wake = resolve))
      this.#wake = null
    }
    this.#looping = false
  }

  /** Lets requests in, in the order in which they came, while there is memory for them. */
  #admit(): void {
    for (;;) {
      const [next] = this.#queue
      if (next === undefined) return
      const sequences = this.#jobs.reduce(
        (sum, job) => sum + job.request.prepared.options.sequences.length,
        0,
      )
      if (sequences + next.request.prepared.options.sequences.length > this.#maxBatch) return
      const positions = this.#jobs.reduce((sum, job) => sum + job.positions, next.positions)
      const left = this.#cacheMemory - positions * this.#bytesPerPosition
      if (left < 0) return
      this.#prefixes.shrink(left)
      this.#queue.shift()
      this.#jobs.push(next)
    }
  }

  /**
   * Reads a piece of one prompt, and others that fit as a whole into what is left of the piece: short prompts that came together
   * then decode together from their first token. The prompts take turns. Returns whether there was one.
   */
  #readPrompts(): boolean {
    const unread = this.#jobs.filter(job => job.running.length === 0 && !job.ended)
    let left = this.#promptPiece
    const read: Job[] = []
    for (const job of unread) {
      const length = job.prompt.length - (job.session?.position ?? 0)
      if (read.length > 0 && length > left) break
      left -= length
      read.push(job)
      const started = performance.now()
      try {
        this.#readOf(job)
      } catch (error) {
        job.end(error)
      }
      this.counts.promptSeconds += (performance.now() - started) / 1000
    }
    // To the end of the line.
    this.#jobs = [...this.#jobs.filter(job => !read.includes(job)), ...read]
    return read.length > 0
  }

  #readOf(job: Job): void {
    const { prompt, request } = job
    const { options } = request.prepared
    const { engine } = this.model
    const { seed, sequences, activation, neurons, ffn = this.model.engine.ffn } = options
    const alone = sequences.length === 1 && sequences[0] === 0
    // As Generation does: where neurons are drawn, each sequence reads the prompt's last token with its own draws.
    const own = activation.draws && !alone ? 1 : 0
    const common = prompt.length - own
    const key = this.#prefixKey(job)
    if (job.session === null) {
      const known = key === null ? null : this.#prefixes.find(key, prompt)
      const sparseFrom = engine.sparseFrom(prompt.length)
      job.session =
        known?.fork([{ seed, sequence: 0, ffn }])[0] ??
        engine.session({ seed, sequence: 0, activation, sparseFrom, ffn, neurons })
      job.cachedTokens = job.session.position
      this.counts.cachedTokens += job.cachedTokens
    }
    const { session } = job
    const from = session.position
    const piece = prompt.slice(from, Math.min(common, from + this.#promptPiece))
    if (piece.length > 0) {
      if (request.embedding === true) addHidden(job, session, piece, engine.config.hiddenSize)
      else if (request.promptLogprobs === undefined) session.prefill(piece)
      else this.#score(job, session, piece)
      this.counts.promptTokens += piece.length
    }
    if (session.position < common) return
    if (key !== null) this.#prefixes.add(key, prompt.slice(0, common), session)
    if (request.promptOnly === true || request.embedding === true) {
      job.end()
      return
    }
    const sessions = session.fork(sequences.map(sequence => ({ sequence })))
    if (own === 1) {
      Session.stepTogether(sessions, Array(sessions.length).fill(prompt[common]))
      this.counts.promptTokens++
    }
    const room = engine.config.maxPositionEmbeddings - prompt.length + 1
    const limitReason = options.maxTokens <= room ? ('length' as const) : ('context' as const)
    const rules = { ...options, limit: this.#limit(request), limitReason }
    const { constraints } = request.prepared
    job.running = sessions.map((session, i) => ({
      continuation: new Continuation(rules, session, prompt, constraints[i]),
      pending: null,
    }))
    this.#choose(job)
  }

  /** The log-probabilities of the tokens that follow those of `piece`, which `session` reads. */
  #score(job: Job, session: Session, piece: readonly number[]): void {
    const { vocabSize } = this.model.config
    const { tokenizer } = this.model
    const top = job.request.promptLogprobs ?? 0
    const first = session.position
    const all = new Float32Array(piece.length * vocabSize)
    session.prefill(piece, all)
    for (let i = 0; i < piece.length && first + i + 1 < job.prompt.length; i++) {
      const logits = all.subarray(i * vocabSize, (i + 1) * vocabSize)
      const id = job.prompt[first + i + 1]
      const logSum = logSumExp(kernels(), logits)
      const known = logits.subarray(0, tokenizer.vocabSize)
      job.promptLogprobs.push({
        id,
        logprob: logits[id] - logSum,
        top: topLogprobs(known, top, logSum, tokenizer),
      })
    }
  }

  /** One token for every sequence that decodes, in one pass over the weights. Returns whether there was one. */
  #decode(): boolean {
    const jobs = this.#jobs.filter(job => job.running.length > 0 && !job.ended && !job.paused)
    const running = jobs.flatMap(job => job.running.filter(({ pending }) => pending !== null))
    if (running.length === 0) return false
    const started = performance.now()
    try {
      Session.stepTogether(
        running.map(({ continuation }) => continuation.session),
        running.map(({ pending }) => pending as number),
      )
    } catch (error) {
      for (const job of jobs) job.end(error)
      return true
    }
    for (const one of running) one.pending = null
    for (const job of jobs) this.#choose(job)
    this.counts.decodeSeconds += (performance.now() - started) / 1000
    this.counts.passes++
    this.counts.sequences += running.length
    return true
  }

  /** The next token of each continuation of a job that has logits for one and knows what its grammar allows. */
  #choose(job: Job): void {
    if (job.ended || !job.running.some(({ pending }) => pending === null)) return
    const left: Job['running'] = []
    try {
      for (const running of job.running) {
        if (running.pending !== null || !this.#isReady(job, running.continuation)) {
          left.push(running)
          continue
        }
        const token = running.continuation.next()
        this.counts.generatedTokens++
        for (const active of token.activeNeurons) this.counts.activeNeurons += active
        running.pending = token.id
        job.push(token)
        if (token.finishReason === null) left.push(running)
        else this.#remember(job, running.continuation)
      }
    } catch (error) {
      job.end(error)
      return
    }
    job.running = left
    if (left.length === 0) job.end()
  }

  /** Whether the grammar of a text has said what may follow; when not, the loop is woken when it has. */
  #isReady(job: Job, continuation: Continuation): boolean {
    if (continuation.isReady) return true
    continuation.ready().then(
      () => this.#wake?.(),
      error => {
        job.end(error)
        this.#wake?.()
      },
    )
    return false
  }

  /** A conversation goes on from its last answer. */
  #remember(job: Job, { session }: Continuation): void {
    const key = this.#prefixKey(job)
    if (key === null) return
    const generated = job.generatedIds(session.sequence)
    this.#prefixes.add(key, [...job.prompt, ...generated].slice(0, session.position), session)
  }

  /** Requests with equal keys can begin with each other's sessions; null: this one with none. */
  #prefixKey({ request }: Job): string | null {
    const { activation, neurons } = request.prepared.options
    // Drawn neurons make what was read depend on seed and sequence; log-probabilities and embeddings need every position;
    // where a model's cuts begin depends on the length of the prompt; the first token tells the neurons of the prompt's last.
    const isWhole = request.promptLogprobs !== undefined || request.embedding === true || neurons
    return activation.draws || isWhole || this.model.engine.approximate ? null : activation.spec
  }

  /** Tokens that each continuation generates at most. */
  #limit({ prepared: { tokens, options }, promptOnly, embedding }: Request): number {
    if (promptOnly === true || embedding === true) return 1
    return Math.min(options.maxTokens, this.model.config.maxPositionEmbeddings - tokens.length + 1)
  }
}

/** Reads `piece`, and adds the last hidden states of its tokens to the job's sum. */
function addHidden(job: Job, session: Session, piece: readonly number[], hiddenSize: number): void {
  const hidden = session.prefillHidden(piece)
  if (job.hiddenSum.length === 0) job.hiddenSum = new Float64Array(hiddenSize)
  for (let i = 0; i < hidden.length; i++) job.hiddenSum[i % hiddenSize] += hidden[i]
}
