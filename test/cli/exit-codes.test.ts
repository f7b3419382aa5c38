// What the process ends with: 0, 2 for what the user has to change, 1 for a failure while working, 128 + the signal after
// a signal. One row for each kind of end.

import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { colorful, interruptible, reportError } from '../../src/cli/terminal.js'
import { FlickerError, OptionError, StorageError } from '../../src/errors.js'
import { temporaryDirectories } from '../data/temporary.js'
import { flickerHere } from './in-process.js'

const directory = temporaryDirectories()
afterEach(() => vi.restoreAllMocks())

describe('a command ends with', () => {
  const missing = path.join(directory({}), 'nothing')
  it.each<[code: number, what: string, args: string[], says: RegExp]>([
    [0, 'an answer', ['info', '--json'], /"version"/],
    [0, '--help', ['--help'], /Exit codes: 0, 2 for bad input, 1 for a failure, 130 after Ctrl-C/],
    [0, '--version', ['--version'], /^\d+\.\d+\.\d+$/m],
    [0, 'no arguments', [], /Usage: flicker/],
    [0, 'bench alone', ['bench'], /Usage: flicker bench/],
    [2, 'an unknown command', ['generat'], /generate/],
    [2, 'an unknown flag', ['info', '--jsn'], /--json/],
    [2, 'a missing flag', ['generate', '--prompt', 'x'], /--model/],
    [2, 'a value of the wrong kind', ['bench', 'train', '--steps', 'many'], /--steps/],
    [2, 'a value out of range', ['bench', 'decode', '--sparsity', '2'], /--sparsity/],
    [2, 'a model that is not there', ['generate', '--model', missing, '--prompt', 'x'], /\[[A-Z_]+\]/],
    [2, 'a recipe that is not there', ['study', missing], /\[[A-Z_]+\]/],
    [
      2,
      'a corpus that is not there',
      ['train', '--out', missing, '--corpus', missing],
      /\[CORPUS_NOT_FOUND\]/,
    ],
    [2, 'an activation that is not there', ['activations', 'sliu'], /silu/],
  ])('%i after %s', async (code, _, args, says) => {
    const found = await flickerHere(args)
    expect(found.code, found.stderr).toBe(code)
    expect(found.stdout + found.stderr).toMatch(says)
  })
})

describe('an error ends with', () => {
  const system = Object.assign(new Error('ENOSPC: no space left'), {
    code: 'ENOSPC',
    errno: -28,
    syscall: 'write',
  })
  it.each<[code: number, what: string, error: unknown, says: RegExp]>([
    [
      2,
      'a wrong option',
      new OptionError('SOME_CODE', 'what is wrong'),
      /^flicker: what is wrong \[SOME_CODE\]\n$/,
    ],
    [
      1,
      'a failure while working',
      new StorageError('DISK', 'full', { exitCode: 1 }),
      /^flicker: full \[DISK\]\n$/,
    ],
    [130, 'an interruption', new FlickerError('INTERRUPTED', 'stopped', { exitCode: 130 }), /stopped/],
    [1, 'what the system refuses', system, /the operating system refused: .*ENOSPC/],
    [
      1,
      'a bug',
      new TypeError('x is undefined'),
      /unexpected error, which is a bug: x is undefined \(--debug/,
    ],
    [1, 'what is no error at all', 'thrown text', /which is a bug: thrown text/],
  ])('%i: %s', (code, _, error, says) => {
    let told = ''
    vi.spyOn(process.stderr, 'write').mockImplementation(chunk => {
      told += String(chunk)
      return true
    })
    expect(reportError(error, false)).toBe(code)
    expect(told).toMatch(says)
  })
})

describe('a signal', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s once aborts the work with exit code %i; twice ends the process with it', (name, code) => {
    const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
    const added = (of: (typeof names)[number]) => process.listeners(of).slice(counts[of])
    const counts = Object.fromEntries(names.map(of => [of, process.listenerCount(of)]))
    vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
    const exit = vi.spyOn(process, 'exit').mockImplementation((() => {}) as never)
    const signal = interruptible()
    try {
      expect(added(name)).toHaveLength(1)
      const [listener] = added(name)
      listener(name)
      expect(signal.aborted).toBe(true)
      expect(signal.reason).toMatchObject({ code: 'INTERRUPTED', exitCode: code })
      expect(exit).not.toHaveBeenCalled()
      listener(name)
      expect(exit).toHaveBeenCalledWith(code)
    } finally {
      for (const of of names) for (const listener of added(of)) process.off(of, listener)
    }
  })
})

describe('colors', () => {
  it.each<[isTTY: boolean | undefined, noColor: string | undefined, expected: boolean]>([
    [true, undefined, true],
    // https://no-color.org: "when present and not an empty string".
    [true, '', true],
    [true, '1', false],
    [true, 'false', false],
    [undefined, undefined, false],
    [false, '', false],
  ])('on a terminal: %s, NO_COLOR=%s: %s', (isTTY, noColor, expected) => {
    const { isTTY: was } = process.stdout
    vi.stubEnv('NO_COLOR', noColor)
    process.stdout.isTTY = isTTY as boolean
    try {
      expect(colorful()).toBe(expected)
    } finally {
      process.stdout.isTTY = was
      vi.unstubAllEnvs()
    }
  })
})
