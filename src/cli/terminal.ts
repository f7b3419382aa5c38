// What the command line prints: results on stdout, everything else on stderr, progress only on a terminal.

import cliProgress from 'cli-progress'
import { FlickerError } from '../errors.js'

/** One line for people, on stderr. */
export function log(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** The result of a command, on stdout. */
export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2))
}

export interface Bar {
  /** `done` out of the total; `note` stands at the end of the line. */
  update(done: number, note: string): void
  stop(): void
}

/** A progress bar with time left on a terminal; elsewhere nothing at all. */
export function progressBar(title: string, total: number): Bar {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} }
  const bar = new cliProgress.SingleBar({
    format: `${title} {bar} {percentage}% · {note}`,
    stream: process.stderr,
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    fps: 8,
  })
  bar.start(total, 0, { note: '' })
  return {
    update: (done, note) => bar.update(done, { note }),
    stop: () => bar.stop(),
  }
}

/** `1:05` or `2:03:10`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const pad = (n: number) => String(n).padStart(2, '0')
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`
}

/** Prints one line for an error that Flicker raised on purpose, a stack for a bug; returns the exit code. */
export function reportError(error: unknown, debug: boolean): number {
  if (error instanceof FlickerError) {
    log(`flicker: ${error.message} [${error.code}]`)
    if (debug) log(error.stack ?? '')
    return error.exitCode
  }
  if (debug) log(error instanceof Error ? (error.stack ?? error.message) : String(error))
  else
    log(
      `flicker: unexpected error: ${error instanceof Error ? error.message : String(error)} (--debug shows where)`,
    )
  return 1
}

/** Ctrl-C (or SIGTERM) once: the signal aborts and the work ends itself; twice: the process ends at once. */
export function interruptible(note = 'stopping after this step and saving'): AbortSignal {
  const controller = new AbortController()
  const stop = () => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
    log(`\nflicker: ${note}; press Ctrl-C again to stop at once`)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return controller.signal
}
