// A thread that runs XGrammar, started when it is first asked and replaced when it hangs or dies.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { FlickerError } from '../../errors.js'
import type { Answer, Asked, Question, Vocabulary } from './xgrammar-thread.js'

/** The program of the thread, compiled: when this file runs from its source, as tests do, the one in dist. */
const PROGRAM = ['./xgrammar-thread.js', '../../../dist/engine/grammar/xgrammar-thread.js']
  .map(place => fileURLToPath(new URL(place, import.meta.url)))
  .find(existsSync)

/** The thread has ended before it answered. */
export class ThreadLost extends Error {}

type WithoutId<T> = T extends { id: number } ? Omit<T, 'id'> : never

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
  readonly timer: NodeJS.Timeout
}

export class GrammarThread {
  readonly #vocabulary: () => Vocabulary
  readonly #milliseconds: number
  #worker: Worker | null = null
  readonly #waiting = new Map<number, Waiting>()
  #questions = 0

  /** `milliseconds`: for one answer. */
  constructor(vocabulary: () => Vocabulary, milliseconds: number) {
    this.#vocabulary = vocabulary
    this.#milliseconds = milliseconds
  }

  /** Rejects with ThreadLost when the thread ends meanwhile. Throws FlickerError GRAMMAR_THREAD. */
  ask(question: WithoutId<Asked>): Promise<Answer> {
    const id = this.#questions++
    return new Promise((resolve, reject) => {
      const worker = this.#running()
      const timer = setTimeout(() => this.#lose(worker), this.#milliseconds)
      this.#waiting.set(id, { resolve, reject, timer })
      // Only while it is asked does the thread keep the process alive.
      worker.ref()
      worker.postMessage({ ...question, id })
    })
  }

  /** Says something that needs no answer, if there is a thread. */
  tell(message: Exclude<Question, Asked>): void {
    this.#worker?.postMessage(message)
  }

  /** Ends the thread; the next question starts another. */
  end(): void {
    if (this.#worker !== null) this.#lose(this.#worker)
  }

  #running(): Worker {
    if (this.#worker !== null) return this.#worker
    if (PROGRAM === undefined) {
      const message = 'the program that runs grammars is not compiled; run npm run build'
      throw new FlickerError('GRAMMAR_THREAD', message, { exitCode: 1 })
    }
    const worker = new Worker(PROGRAM, { workerData: this.#vocabulary(), execArgv: ['--no-warnings'] })
    worker.on('message', (answer: Answer) => this.#answered(answer))
    worker.on('error', () => this.#lose(worker))
    worker.on('exit', () => this.#lose(worker))
    this.#worker = worker
    return worker
  }

  #answered(answer: Answer): void {
    const asked = this.#waiting.get(answer.id)
    if (asked === undefined) return
    this.#waiting.delete(answer.id)
    clearTimeout(asked.timer)
    if (this.#waiting.size === 0) this.#worker?.unref()
    asked.resolve(answer)
  }

  #lose(worker: Worker): void {
    if (this.#worker !== worker) return
    this.#worker = null
    void worker.terminate()
    const lost = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject, timer } of lost) {
      clearTimeout(timer)
      reject(new ThreadLost())
    }
  }
}
