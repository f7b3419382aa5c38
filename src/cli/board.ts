// `flicker board DIR`: a page that follows training. And `--watch` of train and study, which starts it beside them.

import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError, Option } from 'commander'
import { boardAssets, createBoard } from '../board/index.js'
import { OptionError } from '../errors.js'
import { METRICS_EXPORTS } from '../train/index.js'
import { addressOf, listen } from './listen.js'
import { integer } from './options.js'
import { log } from './terminal.js'

const PORT = 8081

export function boardCommand(): Command {
  return new Command('board')
    .description('a page that shows runs of training while they train, finished ones too')
    .argument('<directory>', 'a run, a study, or any directory with runs below it')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes a free one', integer(0), PORT)
    .addHelpText(
      'after',
      `
Examples:
  flicker board runs/quick
  flicker board runs --port 9001`,
    )
    .action(run)
}

async function run(directory: string, { host, port }: { host: string; port: number }): Promise<void> {
  if (!fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new OptionError('BOARD_DIRECTORY', `${directory} is not a directory; give one with runs in it`)
  }
  const board = createBoard(directory, await boardAssets())
  const http = await listen(board.fetch, host, port)
  log(`flicker: the board of ${directory} is at ${addressOf(http, host, port)} (Ctrl-C ends it)`)
  await new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
    // As a child of a training, it ends with it.
    process.once('disconnect', () => resolve())
  })
  board.close()
  await new Promise(resolve => http.close(resolve))
}

/** Tokens of a text written at each measurement, where a page shows it. */
export const WATCHED_SAMPLE_TOKENS = 64

export function logOption(): Option {
  return new Option(
    '--log <kind>',
    `write the metrics for other programs too: ${METRICS_EXPORTS.join(' or ')} (repeatable)`,
  ).argParser((kind: string, before: readonly string[] = []) => {
    if (!(METRICS_EXPORTS as readonly string[]).includes(kind)) {
      throw new InvalidArgumentError(`must be one of ${METRICS_EXPORTS.join(', ')}`)
    }
    return [...new Set([...before, kind])]
  })
}

export function sampleTokensOption(): Option {
  return new Option(
    '--sample-tokens <n>',
    `tokens of a text that is written at each measurement (default: ${WATCHED_SAMPLE_TOKENS} with --watch, else none)`,
  ).argParser(integer(0))
}

export function watchOption(): Option {
  return new Option('--watch', 'show it live on a page of this machine')
}

export function boardPortOption(): Option {
  return new Option('--board-port <n>', 'port of the page of --watch').argParser(integer(0)).default(PORT)
}

/** Starts the board in a process of its own: a step of training would hold up its page. Returns what ends it. */
export function watch(directory: string, port: number | undefined): () => void {
  if (port === undefined) return () => {}
  fs.mkdirSync(directory, { recursive: true })
  const program = fileURLToPath(new URL('./main.js', import.meta.url))
  const child: ChildProcess = spawn(process.execPath, [program, 'board', directory, '--port', String(port)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  child.on('error', error => log(`flicker: the board did not start: ${error.message}`))
  child.unref()
  child.channel?.unref()
  return () => {
    if (child.connected) child.disconnect()
    else child.kill()
  }
}
