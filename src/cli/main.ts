#!/usr/bin/env node
// The command line. One file per command; here they meet, and here every error ends.

import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError } from 'commander'
import { loadActivationFiles } from '../activations/index.js'
import { version } from '../version.js'
import { activationsCommand } from './activations.js'
import { benchCommand } from './bench.js'
import { convertCommand } from './convert.js'
import { evalCommand } from './eval.js'
import { generateCommand } from './generate.js'
import { infoCommand } from './info.js'
import { logitsCommand } from './logits.js'
import { mlpCommand } from './mlp.js'
import { studyCommand } from './study.js'
import { reportError } from './terminal.js'
import { trainCommand } from './train.js'

/** The whole command line, for the executable and for tests. */
export function createProgram(): Command {
  const program = new Command('flicker')
    .description('Train, sparsify, run and study language models whose neurons flicker between activations.')
    .version(version)
    .option('--debug', 'show the stack of an error')
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride()
  for (const command of [
    studyCommand,
    trainCommand,
    generateCommand,
    logitsCommand,
    convertCommand,
    evalCommand,
    mlpCommand,
    activationsCommand,
    benchCommand,
    infoCommand,
  ]) {
    program.addCommand(command())
  }
  // Sub-commands do not inherit these.
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError('(--help shows the flags)')
  program.hook('preAction', (_, command) => loadOwnActivations(command))
  return program
}

/** `--activation ./mine.ts --allow-code`: files that the user names as activations are loaded before the command runs. */
function loadOwnActivations(command: Command): void {
  const { allowCode, ...flags } = command.opts<Record<string, unknown>>()
  const activations = [flags.activations ?? [], command.name() === 'activations' ? command.args : []].flat()
  loadActivationFiles({ ...flags, activations }, allowCode === true)
}

/** Runs the command line; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const program = createProgram()
  try {
    await program.parseAsync([...args], { from: 'user' })
    return 0
  } catch (error) {
    // Commander has printed its own message; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return reportError(error, program.opts<{ debug?: boolean }>().debug === true || args.includes('--debug'))
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  // A reader that stops listening (`| head`) is no error.
  process.stdout.on('error', error => process.exit((error as NodeJS.ErrnoException).code === 'EPIPE' ? 0 : 1))
  process.exitCode = await main(process.argv.slice(2))
}
