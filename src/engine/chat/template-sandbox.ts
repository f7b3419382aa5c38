// Chat templates are programs that come with a model. They run in an interpreter of our own, in a process that has
// nothing of ours: no environment, no standard streams, a small heap, and a time limit after which it is killed. Node's
// permission model lets it read the files of the interpreter and nothing else, write nothing, start no process and no
// thread. A thread would not do: one string too large for its heap ends the whole process.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { FlickerError, OptionError } from '../../errors.js'
import { permissionFlag, startEnvironment } from '../../node-permission.js'
import type { Answer, Question } from './jinja/process.js'

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

/** The program of the process, compiled: when this file runs from its source, as tests do, the one in dist. */
const PROGRAM = ['./jinja/process.js', '../../../dist/engine/chat/jinja/process.js']
  .map(place => fileURLToPath(new URL(place, import.meta.url)))
  .find(existsSync)

/** The process that waits for the next template, with the heap that it was started with. */
let idle: { process: ChildProcess; heapMegabytes: number } | null = null

/**
 * The text that the Jinja template `source` makes of `variables` (plain JSON values): what Jinja2 makes of it with the
 * settings of Hugging Face's apply_chat_template. What is not supported is an error and never other text. Throws OptionError CHAT_MESSAGES_REFUSED
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
  const { program, flags } = restrictedProgram()
  const started = spawn(process.execPath, [...flags, `--max-old-space-size=${heapMegabytes}`, program], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: startEnvironment(),
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

/** The program and Node's flags that let it read its own files only, by whatever name this version has for that. */
export function restrictedProgram(program = PROGRAM): { program: string; flags: string[] } {
  if (program === undefined) {
    throw new FlickerError(
      'CHAT_TEMPLATE_PROCESS',
      'the program that runs chat templates is not compiled; run npm run build',
      {
        exitCode: 1,
      },
    )
  }
  const permission = permissionFlag()
  const folder = path.dirname(program)
  // Node looks for a package.json beside the program and above it.
  const readable = [path.join(folder, '*')]
  for (let at = folder; ; at = path.dirname(at)) {
    readable.push(path.join(at, 'package.json'))
    if (at === path.dirname(at)) break
  }
  const flags = permission === null ? [] : [permission, ...readable.map(file => `--allow-fs-read=${file}`)]
  return { program, flags: [...flags, '--no-warnings'] }
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
  question: Question,
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
