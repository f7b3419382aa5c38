// Runs programs that a model has written, each in a process of its own, and says whether they ended without an error.

import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { OptionError } from '../../errors.js'
import { startEnvironment } from '../../node-permission.js'
import { bestIsolation, type Isolation, isolated, type MemoryLimit } from './isolation.js'
import { javascriptCommand } from './javascript.js'
import { CODE_LIMITS, type CodeLanguage, type CodeLimits } from './limits.js'
import { findPython, pythonCommand } from './python.js'

/** `passed`, `timeout`, `output` (too much of it), or `failed: ` and the last line of its errors. */
export type Outcome = string

export const PASSED: Outcome = 'passed'

export interface CodeRunnerOptions {
  readonly limits?: Partial<CodeLimits>
  /** The strongest that this system gives by default. */
  readonly isolation?: Isolation
}

/** After the process has ended, for what it has printed to arrive, in milliseconds. */
const DRAIN = 500
/** Characters of an error that are kept. */
const LONGEST_ERROR = 200

/** What runs the programs of tasks. */
export interface ProgramRunner {
  /** They decide outcomes. */
  readonly limits: CodeLimits
  runAll(language: CodeLanguage, sources: readonly string[], signal?: AbortSignal): Promise<Outcome[]>
}

export class CodeRunner implements ProgramRunner {
  readonly isolation: Isolation
  readonly limits: CodeLimits
  readonly #commands = new Map<
    CodeLanguage,
    { readonly inner: readonly string[]; readonly memory: MemoryLimit }
  >()

  /**
   * `languages`: those that will be run, each with the name of the task that needs it. Throws OptionError CODE_PLATFORM,
   * PYTHON_MISSING, PERMISSION_MODEL.
   */
  constructor(languages: ReadonlyMap<CodeLanguage, string>, options: CodeRunnerOptions = {}) {
    for (const [language, task] of languages) {
      if (process.platform === 'win32') {
        throw new OptionError(
          'CODE_PLATFORM',
          `${task} runs programs within limits that only Linux and macOS have; leave the task out`,
        )
      }
      this.#commands.set(
        language,
        language === 'python'
          ? { inner: pythonCommand(findPython(task)), memory: 'address space' }
          : { inner: javascriptCommand(task), memory: 'data' },
      )
    }
    this.isolation = options.isolation ?? bestIsolation()
    this.limits = { ...CODE_LIMITS, ...options.limits }
  }

  /** The outcomes of programs, a few at a time; rejects with the reason of `signal` when it is aborted. */
  async runAll(language: CodeLanguage, sources: readonly string[], signal?: AbortSignal): Promise<Outcome[]> {
    const outcomes: Outcome[] = Array(sources.length).fill('')
    let next = 0
    const worker = async () => {
      while (next < sources.length) {
        const index = next++
        outcomes[index] = await this.run(language, sources[index], signal)
      }
    }
    await Promise.all(Array.from({ length: Math.min(os.availableParallelism(), sources.length) }, worker))
    return outcomes
  }

  async run(language: CodeLanguage, source: string, signal?: AbortSignal): Promise<Outcome> {
    signal?.throwIfAborted()
    const known = this.#commands.get(language)
    if (known === undefined) throw new TypeError(`no runner for ${language}`)
    const { command, args } = isolated(known.inner, this.isolation, this.limits, known.memory)
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-code-'))
    try {
      const marker = `\n${randomUUID()}\n`
      const child = spawn(command, args, {
        cwd: directory,
        // `unshare`, `mount` and `sh` are found by it.
        env: { ...startEnvironment(), PATH: process.env.PATH ?? '' },
        stdio: ['pipe', 'pipe', 'pipe'],
        // A group of its own, that can be ended as a whole, and that its signals do not leave.
        detached: true,
      })
      return await outcomeOf(child, JSON.stringify({ source, marker }), marker, this.limits, signal)
    } finally {
      fs.rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
    }
  }
}

function outcomeOf(
  child: ChildProcess,
  input: string,
  marker: string,
  limits: CodeLimits,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const printed: Buffer[] = []
    const errors: Buffer[] = []
    let bytes = 0
    let stopped: Outcome | null = null
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has ended.
      }
    }
    const stop = (outcome: Outcome) => {
      stopped ??= outcome
      kill()
    }
    const timer = setTimeout(() => stop('timeout'), limits.seconds * 1000)
    const abort = () => kill()
    signal?.addEventListener('abort', abort)
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length
      // The marker is not the program's.
      if (bytes > limits.outputBytes + marker.length) stop('output')
      else into.push(chunk)
    }
    child.stdout?.on('data', collect(printed))
    child.stderr?.on('data', collect(errors))
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    let drain: NodeJS.Timeout | undefined
    const finish = (end: { code: number | null; by: NodeJS.Signals | null }) => {
      clearTimeout(timer)
      clearTimeout(drain)
      signal?.removeEventListener('abort', abort)
      // What the program may have left in its group.
      kill()
      child.stdout?.destroy()
      child.stderr?.destroy()
      if (signal?.aborted) return reject(signal.reason)
      if (stopped !== null) return resolve(stopped)
      if (end.by === 'SIGXCPU' || end.code === 128 + os.constants.signals.SIGXCPU) return resolve('timeout')
      if (end.code === 0 && Buffer.concat(printed).toString().endsWith(marker)) return resolve(PASSED)
      resolve(`failed: ${errorOf(Buffer.concat(errors).toString(), end)}`)
    }
    child.once('error', error => {
      clearTimeout(timer)
      reject(
        new OptionError('CODE_PROCESS', `no process could be started to run programs in: ${error.message}`, {
          exitCode: 1,
          cause: error,
        }),
      )
    })
    child.once('exit', (code, by) => {
      const end = { code, by }
      drain = setTimeout(() => finish(end), DRAIN)
      child.once('close', () => finish(end))
    })
  })
}

function errorOf(text: string, { code, by }: { code: number | null; by: NodeJS.Signals | null }): string {
  const lines = text.split('\n').filter(line => line.trim() !== '')
  // Node prints its version last, and the error before its stack.
  const line = lines.find(line => /^(Uncaught )?[A-Za-z]*Error\b/.test(line)) ?? lines.at(-1)
  return (line ?? (by === null ? `ended with ${code}` : `ended by ${by}`)).trim().slice(0, LONGEST_ERROR)
}
