#!/usr/bin/env node
// The command line. One file per command; here they meet, and here every error ends.

import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError } from 'commander'
import { loadActivationFiles } from '../activations/index.js'
import { setThreads } from '../kernels/index.js'
import { version } from '../version.js'
import { activationsCommand } from './activations.js'
import { benchCommand } from './bench.js'
import { boardCommand } from './board.js'
import { convertCommand } from './convert.js'
import { diversityCommand } from './diversity.js'
import { evalCommand } from './eval.js'
import { generateCommand } from './generate.js'
import { downloadModelFlags } from './hub-models.js'
import { infoCommand } from './info.js'
import { inspectCommand } from './inspect.js'
import { logitsCommand } from './logits.js'
import { mlpCommand } from './mlp.js'
import { modelsCommand } from './models.js'
import { serveCommand } from './serve.js'
import { sparsifyCommand } from './sparsify.js'
import { sparsityCommand } from './sparsity.js'
import { studyCommand } from './study.js'
import { reportError, watchStreams } from './terminal.js'
import { trainCommand } from './train.js'
import { inFlags, prepare, usageError } from './usage.js'

/** The whole command line, for the executable and for tests. */
export function createProgram(): Command {
  const program = new Command('flicker')
    .description('Train, sparsify, run and study language models whose neurons flicker between activations.')
    .version(version, '-V, --version', 'print the version')
    .option('--debug', 'show the stack of an error')
  const groups: [heading: string, commands: (() => Command)[]][] = [
    ['Train and study:', [studyCommand, trainCommand, boardCommand, mlpCommand, activationsCommand]],
    [
      'Run and measure models:',
      [
        sparsifyCommand,
        sparsityCommand,
        generateCommand,
        serveCommand,
        logitsCommand,
        evalCommand,
        diversityCommand,
        inspectCommand,
        convertCommand,
        modelsCommand,
      ],
    ],
    ['This machine:', [benchCommand, infoCommand]],
  ]
  for (const [heading, commands] of groups) {
    program.commandsGroup(heading)
    for (const command of commands) program.addCommand(command())
  }
  program.commandsGroup('Help:').helpCommand('help [command]', 'show the help of a command')
  program.addHelpText(
    'after',
    `
Examples:
  flicker study quick                                  train and compare four small models (minutes)
  flicker train --out runs/mine --corpus my-texts/     train one
  flicker generate --model runs/mine --prompt "The "   let it write
  flicker generate --help                              every flag of a command, with examples

Exit codes: 0, 2 for bad input, 1 for a failure, 130 after Ctrl-C.`,
  )
  prepare(program)
  return program
}

/** Runs the command line; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const program = createProgram()
  let acting = program
  program.hook('preAction', async (_, command) => {
    acting = command
    const { threads } = command.opts<{ threads?: number }>()
    if (threads !== undefined) setThreads(threads)
    loadOwnActivations(command)
    await downloadModelFlags(command)
  })
  try {
    // Without arguments: what there is, as an answer and not as an error.
    const bare = args.length === 0 || (args.length === 1 && args[0] === 'bench')
    await program.parseAsync(bare ? [...args, '--help'] : [...args], { from: 'user' })
    return 0
  } catch (error) {
    const debug = args.includes('--debug')
    if (!(error instanceof CommanderError)) return reportError(inFlags(error, acting), debug)
    // Help and version are no errors.
    return error.exitCode === 0 ? 0 : reportError(usageError(error, named(program, args)), debug)
  }
}

/** `--activation ./mine.ts --allow-code`: files that the user names as activations are loaded before the command runs. */
function loadOwnActivations(command: Command): void {
  const { allowCode, ...flags } = command.opts<Record<string, unknown>>()
  const activations = [flags.activations ?? [], command.name() === 'activations' ? command.args : []].flat()
  loadActivationFiles({ ...flags, activations }, allowCode === true)
}

/** The command that `args` name. */
function named(program: Command, args: readonly string[]): Command {
  const words = args.filter(arg => !arg.startsWith('-'))
  let command = program
  for (const word of words) {
    const next = command.commands.find(subcommand => subcommand.name() === word)
    if (next === undefined) break
    command = next
  }
  return command
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  watchStreams()
  process.exitCode = await main(process.argv.slice(2))
}
