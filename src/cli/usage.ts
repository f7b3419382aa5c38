// How the command line is read: commander does the parsing; here its mistakes become one line each that names the flag,
// the value received, what is allowed, and the nearest name.

import { type Command, type CommanderError, InvalidArgumentError, type Option } from 'commander'
import { didYouMean } from '../did-you-mean.js'
import { OptionError } from '../errors.js'
import { shown } from '../schema-issues.js'
import { kebab } from './schema-flags.js'

/** Spellings of version 0.1, by command: accepted for one version, and not shown. */
const OLD_SPELLINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  generate: { '--ignore-end': '--ignore-eos' },
  logits: { '--text': '--prompt' },
  decode: {
    '--hidden': '--hidden-size',
    '--intermediate': '--intermediate-size',
    '--layers': '--num-hidden-layers',
    '--heads': '--num-attention-heads',
    '--kv-heads': '--num-key-value-heads',
    '--vocab': '--vocab-size',
  },
}

/** Options whose values may be empty: they are text, not names. */
const MAY_BE_EMPTY = ['prompt', 'system']

/** Readies a command and its sub-commands: they throw instead of ending the process, and print no errors themselves. */
export function prepare(command: Command): void {
  command.exitOverride()
  command.configureOutput({ outputError: () => {} })
  command.helpOption('-h, --help', 'show this help')
  for (const subcommand of command.commands) prepare(subcommand)
  if (command.commands.length > 0) return
  for (const option of command.options) checkValues(command, option)
  for (const argument of command.registeredArguments) {
    argument.argParser((text: string) => {
      if (text.trim() !== '') return text
      throw new OptionError('ARGUMENT_EMPTY', `<${argument.name()}> must not be empty${seeHelp(command)}`)
    })
  }
  const parse = command.parseOptions.bind(command)
  command.parseOptions = args => {
    const parsed = parse(args.map(arg => currentSpelling(command, arg)))
    refuseUnknown(command, parsed.unknown)
    return parsed
  }
}

/** `--n_samples` as `--n-samples`, and old names as the present ones. */
function currentSpelling(command: Command, arg: string): string {
  const [flag] = /^--[a-z][\w-]*/i.exec(arg) ?? []
  if (flag === undefined) return arg
  const dashed = flag.replaceAll('_', '-')
  return (OLD_SPELLINGS[command.name()]?.[dashed] ?? dashed) + arg.slice(flag.length)
}

/** Before commander looks for required options: a typo in one of these is the better answer. */
function refuseUnknown(command: Command, unknown: readonly string[]): void {
  if (unknown.includes('-h') || unknown.includes('--help')) return
  const wrong = unknown.find(arg => arg.startsWith('-') && arg !== '-')
  if (wrong === undefined) return
  const [flag] = wrong.split('=')
  const known = command.options.flatMap(({ long, short }) => [long, short].filter(name => name !== undefined))
  throw new OptionError(
    'OPTION_UNKNOWN',
    `unknown option ${shown(flag)}${sentence(didYouMean(flag, [...known, '--help']))}${seeHelp(command)}`,
  )
}

/** Wraps the parser of an option's value: it must be there, fit, and not be the next flag. */
function checkValues(command: Command, option: Option): void {
  if (!option.required && !option.optional) return
  const flag = option.long ?? option.flags
  const { argChoices } = option
  // What choices() sets has a message of its own; ours says the nearest.
  const parse = argChoices === undefined ? option.parseArg : undefined
  option.argParser((text: string, before: unknown) => {
    const next = command.options.find(({ long, short }) => text === long || text === short)
    if (next !== undefined) {
      throw new OptionError(
        'OPTION_VALUE_MISSING',
        `${flag} needs a value, but ${text} follows${seeHelp(command)}`,
      )
    }
    if (text === '' && !MAY_BE_EMPTY.includes(option.attributeName())) {
      throw new OptionError('OPTION_INVALID', `${flag} must not be empty${seeHelp(command)}`)
    }
    if (argChoices?.includes(text) === false) {
      throw new OptionError(
        'OPTION_INVALID',
        `${flag} must be one of ${argChoices.join(', ')}, not ${shown(text)}${sentence(didYouMean(text, argChoices))}`,
      )
    }
    try {
      // Commander's types leave the parser's result open.
      return parse === undefined ? text : (parse as (text: string, before: unknown) => unknown)(text, before)
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      throw new OptionError('OPTION_INVALID', `${flag} ${error.message}`, { cause: error })
    }
  })
}

const CODES: Readonly<Record<string, string>> = {
  'commander.unknownOption': 'OPTION_UNKNOWN',
  'commander.unknownCommand': 'COMMAND_UNKNOWN',
  'commander.missingArgument': 'ARGUMENT_MISSING',
  'commander.missingMandatoryOptionValue': 'OPTION_MISSING',
  'commander.optionMissingArgument': 'OPTION_VALUE_MISSING',
  'commander.excessArguments': 'ARGUMENT_UNEXPECTED',
  'commander.conflictingOption': 'OPTION_CONFLICT',
}

/** What commander has found wrong, as an error of ours. `command` is the one that was being read. */
export function usageError(error: CommanderError, command: Command): OptionError {
  const message = error.message
    .replace(/^error: /, '')
    .replace(/\n\((Did you mean .*)\)$/, '. $1')
    .replace(/^required option '.*(--[\w-]+).*' not specified$/, '$1 is missing')
    .replace(/^option '.*(--[\w-]+).*' argument missing$/, '$1 needs a value')
    .replace(/^missing required argument '(.*)'$/, 'the argument <$1> is missing')
  return new OptionError(CODES[error.code] ?? 'USAGE', `${message}${seeHelp(command)}`, { cause: error })
}

/** Names of library options in an error's message become the flags of `command` that set them. */
export function inFlags(error: unknown, command: Command): unknown {
  if (!(error instanceof OptionError)) return error
  const names = command.options.map(option => option.attributeName())
  const camelCase = names.filter(name => /[A-Z]/.test(name))
  const anywhere = new RegExp(`(?<![-\\w.])(${camelCase.join('|') || '$.'})(?![\\w(])`, 'g')
  // A name of one small word is an ordinary word elsewhere.
  const first = new RegExp(`^(${names.join('|') || '$.'})(?= must| has| -?\\d)`)
  const flag = (name: string) => `--${kebab(name)}`
  const message = error.message.replace(anywhere, flag).replace(first, flag)
  if (message === error.message) return error
  return new OptionError(error.code, message, { exitCode: error.exitCode, cause: error })
}

function sentence(text: string): string {
  return text === '' ? '' : `.${text}`
}

/** ` (see flicker train --help)`. */
function seeHelp(command: Command): string {
  const names: string[] = []
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name())
  return ` (see ${names.join(' ')} --help)`
}
