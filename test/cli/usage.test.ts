// Wrong usage of every command: one line that names the flag, what it was given and what is allowed; exit code 2, nothing on
// stdout. The tables come from the commands themselves, so that a new flag is tested too.

import type { Command, Option } from 'commander'
import { describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/main.js'
import { kebab } from '../../src/cli/schema-flags.js'
import { labSchema } from '../../src/lab/options.js'
import { modelSchema, trainingSchema } from '../../src/train/index.js'
import { flickerHere } from './in-process.js'

interface Leaf {
  readonly words: string[]
  readonly command: Command
}

function leaves(command: Command, words: string[] = []): Leaf[] {
  if (command.commands.length === 0) return [{ words, command }]
  return command.commands.flatMap(subcommand => leaves(subcommand, [...words, subcommand.name()]))
}

const commands = leaves(await createProgram())
const takesValue = (option: Option) => option.required || option.optional
const names = commands.map(({ words, command }) => [words.join(' '), { words, command }] as const)

/** Runs a command that must be refused; the one line it prints. */
async function refusal(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await flickerHere(args)
  const label = `flicker ${args.join(' ')}: ${stderr}`
  expect([code, stdout], label).toEqual([2, ''])
  expect(stderr.trimEnd().split('\n'), label).toHaveLength(1)
  expect(stderr, label).toMatch(/^flicker: .* \[[A-Z_]+\]\n$/)
  // The words of the libraries that parse and check.
  expect(stderr, label).not.toMatch(/Too (small|big)|Invalid|expected|received|[Uu]nrecognized|^error:/)
  return stderr
}

it('there are as many commands as the README lists, and every one has flags', () => {
  expect(names.map(([name]) => name)).toEqual(
    expect.arrayContaining([
      'study',
      'train',
      'generate',
      'logits',
      'eval',
      'mlp',
      'convert',
      'info',
      'bench decode',
    ]),
  )
  for (const { command } of commands) expect(command.options.length).toBeGreaterThan(0)
})

describe.each(names)('flicker %s', (_, { words, command }) => {
  const options = command.options.filter(takesValue)
  const long = (option: Option) => option.long ?? ''

  it('answers a typo in a flag with the nearest flag, before it asks for a flag that is missing', async () => {
    const known = command.options.flatMap(({ short, long }) => [short, long])
    const [typo] = command.options
      .map(option => long(option).slice(0, -1))
      .filter(name => !known.includes(name))
    expect(await refusal([...words, typo, 'x'])).toMatch(
      new RegExp(`unknown option "${typo}"\\. Did you mean "--[\\w-]+"\\?.*\\[OPTION_UNKNOWN\\]`),
    )
    expect(await refusal([...words, '--quite-another-flag'])).toContain('"--quite-another-flag"')
  })

  it.runIf(options.length > 0)(
    'says which flag lacks its value, at the end or before another flag',
    async () => {
      for (const option of options) {
        expect(await refusal([...words, long(option)])).toContain(`${long(option)} needs a value`)
        const next = long(command.options[0])
        expect(await refusal([...words, long(option), next])).toMatch(
          `${long(option)} needs a value, but ${next} follows`,
        )
      }
    },
  )

  it.runIf(options.length > 0)('refuses empty values but for text', async () => {
    for (const option of options) {
      if (['prompt', 'system'].includes(option.attributeName())) continue
      expect(await refusal([...words, long(option), ''])).toMatch(new RegExp(`${long(option)} must`))
    }
  })

  it('refuses an argument too many', async () => {
    const expected = command.registeredArguments.map(() => 'x')
    const { code, stdout, stderr } = await flickerHere([...words, ...expected, 'one-too-many'])
    expect([code, stdout], stderr).toEqual([2, ''])
  })

  const chosen = options.filter(({ argChoices }) => argChoices !== undefined)
  it.runIf(chosen.length > 0)('says the choices, and the nearest of them', async () => {
    for (const option of chosen) {
      const [choice = ''] = option.argChoices ?? []
      expect(await refusal([...words, long(option), `${choice}x`])).toContain(
        `${long(option)} must be one of ${option.argChoices?.join(', ')}, not "${choice}x". Did you mean "`,
      )
    }
  })

  it('has help with examples and with the meaning of every flag', async () => {
    const { code, stdout, stderr } = await flickerHere([...words, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/Examples:\n {2}\S/)
    for (const option of command.options)
      if (!option.hidden) expect(option.description, option.flags).not.toBe('')
  })
})

describe('numbers', () => {
  const schemas = [
    ['train', modelSchema.shape],
    ['train', trainingSchema.shape],
    ['mlp', labSchema.shape],
  ] as const
  it.each(schemas)('%s: NaN, words and values out of range name the flag', async (command, shape) => {
    const flags =
      commands.find(({ words }) => words[0] === command)?.command.options.map(({ long }) => long) ?? []
    let [words, ranges] = [0, 0]
    for (const [key, field] of Object.entries(shape)) {
      const flag = `--${kebab(key)}`
      if (!flags.includes(flag) || field.safeParse(undefined).success !== true) continue
      const start =
        command === 'train' ? ['train', '--out', '/nowhere/run'] : ['mlp', '--out', '/nowhere/lab']
      const isNumber =
        field.safeParse(1).success || field.safeParse(2).success || field.safeParse(0.5).success
      if (!isNumber || field.safeParse('text').success) continue
      for (const value of ['NaN', 'many', 'Infinity']) {
        expect(await refusal([...start, flag, value])).toMatch(
          new RegExp(`${flag} must be an? (number|integer)`),
        )
        words++
      }
      if (field.safeParse(-1.5).success) continue
      expect(await refusal([...start, flag, '-1.5'])).toMatch(
        new RegExp(`${flag}:? must be (at least|above|below|an integer).*not "?-1\\.5`),
      )
      ranges++
    }
    expect(words).toBeGreaterThan(10)
    expect(ranges).toBeGreaterThan(3)
  })
})

describe('what the flags of the strategies are told', () => {
  it.each([
    [
      ['--strategy', 'swift', '--p', '0.3'],
      '--p belongs to --strategy stocha; --strategy swift has --from, --to, --alpha',
    ],
    [
      ['--alpha', '0.2'],
      '--alpha belongs to --strategy swift or stocha or anneal; --strategy scratch has --activation',
    ],
    [['--strategy', 'stocha', '--p', '2'], '--p: must be at most 1, not 2'],
    [['--strategy', 'stocha', '--positive', 'drwn'], 'Did you mean "drawn"?'],
    [['--strategy', 'swift', '--alpha', '0'], '--alpha: must lie in (0, 1]'],
    [['--activation', 'rellu'], 'Did you mean "relu"?'],
    [
      ['--num-attention-heads', '3'],
      '--hidden-size: must be an even multiple of --num-attention-heads (3), not 128',
    ],
  ])('train %j', async (flags, says) => {
    expect(await refusal(['train', '--out', '/nowhere/run', ...flags])).toContain(says)
  })
})

describe('commands', () => {
  it('that do not exist are answered with the nearest', async () => {
    expect(await refusal(['trian'])).toMatch(
      /unknown command 'trian'\. Did you mean train\?.*\[COMMAND_UNKNOWN\]/,
    )
    expect(await refusal(['bench', 'gem'])).toContain('gemm')
    expect(await refusal(['study', 'quik'])).toMatch(/activations, .*quick.*Did you mean "quick"\?/)
  })

  it('without arguments, flicker and flicker bench show what there is', async () => {
    for (const args of [[], ['bench']]) {
      const { code, stdout, stderr } = await flickerHere(args)
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/^Usage: flicker/)
      expect(stdout).toContain('Examples:')
    }
  })

  it('name what is missing', async () => {
    expect(await refusal(['train'])).toContain('--out is missing')
    expect(await refusal(['generate', '--prompt', 'x'])).toContain('--model is missing')
    expect(await refusal(['generate', '--model', 'x'])).toContain('give --prompt')
    expect(await refusal(['logits', '--model', 'x'])).toMatch(/give --tokens|no checkpoint|does not exist/)
    expect(await refusal(['study'])).toContain('the argument <recipe> is missing')
    expect(await refusal(['convert', 'a'])).toContain('the argument <destination> is missing')
    expect(await refusal(['convert', '', 'b'])).toContain('<source> must not be empty')
    expect(await refusal(['logits', '--model', 'x', '--tokens', '1', '--prompt', 'a'])).toContain(
      'cannot be used with',
    )
  })
})

it('former spellings of flags are understood for one version, underscores everywhere', async () => {
  for (const args of [
    ['generate', '--ignore-end', '--prompt', 'x', '--model', 'nowhere'],
    ['generate', '--max_tokens', '3', '--prompt', 'x', '--model', 'nowhere'],
    ['generate', '--max_tokens=3', '--prompt', 'x', '--model', 'nowhere'],
    ['logits', '--text', 'x', '--model', 'nowhere'],
  ]) {
    expect(await refusal(args)).toContain('CHECKPOINT_MISSING')
  }
  const shape = [
    '--hidden',
    '7',
    '--intermediate',
    '8',
    '--layers',
    '1',
    '--heads',
    '2',
    '--kv-heads',
    '1',
    '--vocab',
    '9',
  ]
  expect(await refusal(['bench', 'decode', ...shape])).toContain('SHAPE_HEADS')
  for (const flag of ['--lr', '--learning-rate', '--learning_rate']) {
    for (const command of [
      ['train', '--out', '/nowhere/run'],
      ['mlp', '--out', '/nowhere/lab'],
    ]) {
      expect(await refusal([...command, flag, '-1'])).toMatch(/--(lr|learning-rate): must be above 0, not -1/)
    }
  }
})
