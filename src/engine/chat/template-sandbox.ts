// Chat templates are programs that come with a model: they run in a process of their own, which has nothing of ours
// (no environment, no standard streams), a small heap, and a time limit after which it is killed. A thread would not
// do: one string too large for its heap ends the whole process.

import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { FlickerError, OptionError } from '../../errors.js'

export interface TemplateLimits {
  /** For one rendering, without the start of the process. Default 5,000. */
  readonly milliseconds?: number
  /** Of the process that renders. Default 128. */
  readonly heapMegabytes?: number
  /** Of the rendered text. Default 2²³. */
  readonly characters?: number
}

/** No published template comes near. */
const LARGEST_TEMPLATE = 2 ** 20

/** What the other process runs: CommonJS, as `node -e` is. */
const PROGRAM = `
const { Environment, Template } = require(process.argv[1])
let refused = null
const raise = message => { throw new Error(refused = String(message ?? 'no reason given')) }
// The library declares its own, whose errors could not be told from those of a broken template.
const set = Environment.prototype.set
Environment.prototype.set = function (name, value) {
  return set.call(this, name, name === 'raise_exception' ? raise : value)
}
process.on('message', ({ source, variables, characters }) => {
  refused = null
  let answer
  try {
    const text = new Template(source).render(variables)
    answer = text.length > characters ? { tooLong: text.length } : { text }
  } catch (error) {
    answer = refused === null ? { failed: String(error && error.message) } : { refused }
  }
  process.send(answer)
})
process.send({ ready: true })
`

type Answer = { text: string } | { tooLong: number } | { failed: string } | { refused: string }

/** The process that waits for the next template, with the heap that it was started with. */
let idle: { process: ChildProcess; heapMegabytes: number } | null = null

/**
 * The text that the Jinja template `source` makes of `variables` (plain JSON values), with `raise_exception`, `range`,
 * `namespace` and `strftime_now` as Hugging Face's templates expect them. Throws OptionError CHAT_MESSAGES_REFUSED
 * (the template raised), CHAT_TEMPLATE_TOO_LONG; FlickerError CHAT_TEMPLATE_INVALID (a template that cannot run),
 * CHAT_TEMPLATE_LIMIT (time, memory), CHAT_TEMPLATE_PROCESS (no process to run it in).
 */
export async function renderTemplate(
  source: string,
  variables: Record<string, unknown>,
  limits: TemplateLimits = {},
): Promise<string> {
  const { milliseconds = 5000, heapMegabytes = 128, characters = 2 ** 23 } = limits
  if (source.length > LARGEST_TEMPLATE) {
    throw new FlickerError(
      'CHAT_TEMPLATE_INVALID',
      `the chat template has ${source.length} characters, more than any template needs (${LARGEST_TEMPLATE})`,
    )
  }
  const worker = await readyProcess(heapMegabytes)
  const answer = await askedWithin(worker, { source, variables, characters }, milliseconds, heapMegabytes)
  if (idle === null) keepIdle(worker, heapMegabytes)
  else worker.kill()
  if ('text' in answer) return answer.text
  if ('refused' in answer) {
    throw new OptionError(
      'CHAT_MESSAGES_REFUSED',
      `the chat template refuses these messages: ${shortened(answer.refused)}`,
    )
  }
  if ('tooLong' in answer) {
    throw new OptionError(
      'CHAT_TEMPLATE_TOO_LONG',
      `the chat template makes ${answer.tooLong} characters of these messages; at most ${characters} are read`,
    )
  }
  throw new FlickerError(
    'CHAT_TEMPLATE_INVALID',
    `the chat template cannot be used: ${shortened(answer.failed)}; give another with the option template`,
  )
}

/** Messages come from the template: a line of them is enough. */
function shortened(message: string): string {
  const line = message.replace(/\s+/g, ' ').trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

/** The idle process, or a new one that has said that it is ready. */
async function readyProcess(heapMegabytes: number): Promise<ChildProcess> {
  if (idle !== null && idle.heapMegabytes === heapMegabytes && idle.process.connected) {
    const { process: waiting } = idle
    idle = null
    waiting.removeAllListeners()
    waiting.ref()
    waiting.channel?.ref()
    return waiting
  }
  const jinja = createRequire(import.meta.url).resolve('@huggingface/jinja')
  const started = spawn(process.execPath, [`--max-old-space-size=${heapMegabytes}`, '-e', PROGRAM, jinja], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: passedEnvironment(),
  })
  await new Promise<void>((resolve, reject) => {
    const failed = (reason: string) => {
      const message = `the process that runs chat templates did not start: ${reason}`
      reject(new FlickerError('CHAT_TEMPLATE_PROCESS', message, { exitCode: 1 }))
    }
    started.once('error', error => failed(error.message))
    started.once('exit', (code, signal) => failed(`it ended with ${signal ?? code}`))
    started.once('message', () => resolve())
  })
  started.removeAllListeners()
  return started
}

/** What a Node may need to start, and the time zone of strftime_now. */
function passedEnvironment(): Record<string, string> {
  const names = ['TZ', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'SystemRoot']
  return Object.fromEntries(names.flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])))
}

/** Keeps the process for the next template, without keeping ours alive. */
function keepIdle(waiting: ChildProcess, heapMegabytes: number): void {
  idle = { process: waiting, heapMegabytes }
  waiting.removeAllListeners()
  waiting.on('error', () => {})
  waiting.once('exit', () => {
    if (idle?.process === waiting) idle = null
  })
  waiting.unref()
  waiting.channel?.unref()
}

function askedWithin(
  worker: ChildProcess,
  question: object,
  milliseconds: number,
  heapMegabytes: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const limited = (what: string) => {
      clearTimeout(timer)
      worker.removeAllListeners()
      worker.on('error', () => {})
      worker.kill('SIGKILL')
      reject(new FlickerError('CHAT_TEMPLATE_LIMIT', `the chat template was stopped: ${what}`))
    }
    const timer = setTimeout(() => limited(`it ran for more than ${milliseconds} ms`), milliseconds)
    worker.once('exit', () => limited(`it needs more than ${heapMegabytes} MB of memory, or failed badly`))
    worker.once('error', error => limited(error.message))
    worker.once('message', answer => {
      clearTimeout(timer)
      worker.removeAllListeners()
      resolve(answer as Answer)
    })
    worker.send(question)
  })
}
