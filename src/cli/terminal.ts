// What the command line prints: results on stdout, everything else on stderr. Names and texts out of files may hold
// control characters that would steer the terminal: they are shown as escapes.

import cliProgress from 'cli-progress'
import { FlickerError } from '../errors.js'
import { isSystemError } from '../formats/storage.js'

/** C0 and C1 controls, DEL, and the marks that reverse the order of what is shown. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** `text` on one line, control characters as escapes: ESC is shown as `\x1b`. */
export function printable(text: string): string {
  return text.replace(CONTROLS, escaped)
}

/** Like printable, but line ends and tabs stay. */
function printableLines(text: string): string {
  return text.replace(CONTROLS, character =>
    character === '\n' || character === '\t' ? character : escaped(character),
  )
}

function escaped(character: string): string {
  const named = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character]
  const code = character.charCodeAt(0)
  return named ?? (code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`)
}

/** No message needs more; a longer one carries the contents of a file. */
const LONGEST_MESSAGE = 2000

/** The beginning and the end of a text that is too long. */
function cut(text: string): string {
  if (text.length <= LONGEST_MESSAGE) return text
  const [head, tail] = [LONGEST_MESSAGE - 300, 200]
  return `${text.slice(0, head)} … (${text.length - head - tail} characters left out) … ${text.slice(-tail)}`
}

/** One line for people, on stderr. */
export function log(line: string): void {
  process.stderr.write(`${cut(printable(line))}\n`)
}

/** The result of a command, on stdout. */
export function print(text: string): void {
  const shown = printableLines(text)
  process.stdout.write(shown.endsWith('\n') ? shown : `${shown}\n`)
}

/** Text that our own code has made for a terminal, colors included. */
export function printStyled(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Text of a model, on stdout: as it is for a file or another program, without control characters for a terminal. */
export function printGenerated(text: string): void {
  process.stdout.write(process.stdout.isTTY ? printableLines(text) : text)
}

/** One JSON object on stdout. Controls that JSON allows as they are become escapes as well. */
export function printJson(value: unknown, indent = 2): void {
  const json = JSON.stringify(value, null, indent)
  const safe = json.replace(CONTROLS, character =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  process.stdout.write(`${safe}\n`)
}

/** Whether results may be colored: on a terminal, unless NO_COLOR says otherwise (https://no-color.org). */
export function colorful(): boolean {
  return process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === ''
}

export interface Bar {
  /** `done` out of the total; `note` stands at the end of the line. */
  update(done: number, note: string): void
  /** A line that stays, above the bar. */
  log(line: string): void
  stop(): void
}

/** Without a terminal, the least and the most seconds between two lines of progress. */
const [LEAST_SECONDS, MOST_SECONDS] = [1, 30]

/** Progress on stderr: a bar on a terminal; elsewhere a line for every tenth of the work, at least every half minute. */
export function progressBar(title: string, total: number): Bar {
  return process.stderr.isTTY ? drawnBar(title, total) : progressLines(title, total)
}

function drawnBar(title: string, total: number): Bar {
  const bar = new cliProgress.SingleBar({
    // Braces would be taken for fields of the format.
    format: `${printable(title).replace(/[{}]/g, '')} {bar} {percentage}% · {value}/{total} · {note}`,
    stream: process.stderr,
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    fps: 8,
  })
  bar.start(total, 0, { note: '' })
  return {
    update: (done, note) => bar.update(done, { note: printable(note) }),
    log: line => {
      process.stderr.write('\r\x1b[K')
      log(line)
    },
    stop: () => bar.stop(),
  }
}

function progressLines(title: string, total: number): Bar {
  const last = { time: performance.now(), done: 0 }
  return {
    update(done, note) {
      const seconds = (performance.now() - last.time) / 1000
      if (seconds < LEAST_SECONDS) return
      if (seconds < MOST_SECONDS && done - last.done < total / 10) return
      Object.assign(last, { time: performance.now(), done })
      log(`${title} ${done}/${total} (${Math.round((100 * done) / total)} %) · ${note}`)
    },
    log,
    stop: () => {},
  }
}

/** `1:05` or `2:03:10`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const pad = (n: number) => String(n).padStart(2, '0')
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`
}

/** Prints one line for an error, with `debug` its stack too; returns the exit code. */
export function reportError(error: unknown, debug: boolean): number {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof FlickerError) log(`flicker: ${message} [${error.code}]`)
  else if (isSystemError(error))
    log(`flicker: the operating system refused: ${message} [SYSTEM_${error.code}]`)
  else log(`flicker: unexpected error, which is a bug: ${message}${debug ? '' : ' (--debug shows where)'}`)
  if (debug && error instanceof Error) process.stderr.write(`${printableLines(error.stack ?? '')}\n`)
  return error instanceof FlickerError ? error.exitCode : 1
}

/**
 * What ends the process when one of its streams fails: a reader that stops listening (`| head`) is no error, a full disk
 * is.
 */
export function watchStreams(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    log(`flicker: cannot write to standard output: ${error.message} [OUTPUT_FAILED]`)
    process.exit(1)
  })
  // There is nowhere left to say it.
  process.stderr.on('error', () => {})
}

/**
 * Ctrl-C, SIGTERM or the end of the terminal (SIGHUP) once: the signal aborts and the work ends itself; twice: the
 * process ends at once. The exit code is the shell's for that signal: 130, 143, 129.
 */
export function interruptible(note = 'stopping after this step and saving'): AbortSignal {
  const controller = new AbortController()
  // A terminal that is gone must not end the work before it has saved.
  process.stderr.on('error', () => {})
  for (const [name, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    const exitCode = 128 + number
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exitCode)
      controller.abort(new FlickerError('INTERRUPTED', `interrupted by ${name}`, { exitCode }))
      process.stderr.write('\n')
      log(`flicker: ${note}; press Ctrl-C again to stop at once`)
    })
  }
  return controller.signal
}
