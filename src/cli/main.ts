#!/usr/bin/env node
// The command line. One file per command; here they meet, and here every error ends.

import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError } from 'commander'
import { loadActivationFiles } from '../activations/index.js'
import { setThreads } from '../kernels/index.js'
import { version } from '../version.js'
import { reportError, watchStreams } from './terminal.js'
import { inFlags, prepare, usageError } from './usage.js'

/** Every command by its heading and name. Its file, and the libraries that it needs, are loaded when it is asked for. */
const COMMANDS: readonly [heading: string, commands: Readonly<Record<string, () => Promise<Command>>>][] = [
  [
    'Train and study:',
    {
      study: async () => (await import('./study.js')).studyCommand(),
      train: async () => (await import('./train.js')).trainCommand(),
      board: async () => (await import('./board.js')).boardCommand(),
      mlp: async () => (await import('./mlp.js')).mlpCommand(),
      activations: async () => (await import('./activations.js')).activationsCommand(),
    },
  ],
  [
    'Run and measure models:',
    {
      sparsify: async () => (await import('./sparsify.js')).sparsifyCommand(),
      sparsity: async () => (await import('./sparsity.js')).sparsityCommand(),
      generate: async () => (await import('./generate.js')).generateCommand(),
      serve: async () => (await import('./serve.js')).serveCommand(),
      logits: async () => (await import('./logits.js')).logitsCommand(),
      eval: async () => (await import('./eval.js')).evalCommand(),
      diversity: async () => (await import('./diversity.js')).diversityCommand(),
      inspect: async () => (await import('./inspect.js')).inspectCommand(),
      convert: async () => (await import('./convert.js')).convertCommand(),
      models: async () => (await import('./models.js')).modelsCommand(),
    },
  ],
  [
    'This machine:',
    {
      bench: async () => (await import('./bench.js')).benchCommand(),
      info: async () => (await import('./info.js')).infoCommand(),
    },
  ],
]

/**
 * The command line, for the executable and for tests: all of it, or where `args` begin with the name of a command, that
 * one alone.
 */
export async function createProgram(args: readonly string[] = []): Promise<Command> {
  const program = new Command('flicker')
    .description('Train, sparsify, run and study language models whose neurons flicker between activations.')
    .version(version, '-V, --version', 'print the version')
    .option('--debug', 'show the stack of an error')
  const first = args.find(arg => !arg.startsWith('-'))
  const alone =
    COMMANDS.some(([, commands]) => first !== undefined && Object.hasOwn(commands, first)) ||
    ['-V', '--version'].includes(args[0])
  for (const [heading, commands] of COMMANDS) {
    program.commandsGroup(heading)
    for (const [name, load] of Object.entries(commands)) {
      if (!alone || name === first) program.addCommand(await load())
    }
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
  const program = await createProgram(args)
  let acting = program
  program.hook('preAction', async (_, command) => {
    acting = command
    const { threads } = command.opts<{ threads?: number }>()
    if (threads !== undefined) setThreads(threads)
    loadOwnActivations(command)
    // The engine comes with it, which commands without a model need not wait for.
    if ('model' in command.opts()) await (await import('./hub-models.js')).downloadModelFlags(command)
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
