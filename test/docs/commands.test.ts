// Every command in the README, the docs and the help texts is one that the command line takes: its flags and arguments exist.
// Those that take a moment also run, on a tiny model in place of the models they name; the others are measurements and
// studies of minutes, which tests of their own run in small.

import fs from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/main.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { flickerHere } from '../cli/in-process.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { writeEveryTask, writeRows } from '../eval/task-fixtures.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const cwd = temporaryDirectory()
afterAll(() => fs.rmSync(cwd, { recursive: true }))

beforeAll(() => {
  const config = { ...smallConfig, vocabSize: bytesTokenizer().vocabSize, activation: 'relu' }
  const tensors = tensorOf(randomTensors(config, 9))
  writeCheckpoint(path.join(cwd, 'model'), {
    config,
    tensors: parameterShapes(config).map(({ name, shape }) => ({ name, shape, data: tensors(name) })),
    tokenizer: bytesTokenizer().toJSON(),
  })
  const template = '{% for m in messages %}{{ m.content }}\n{% endfor %}'
  fs.writeFileSync(path.join(cwd, 'model/tokenizer_config.json'), JSON.stringify({ chat_template: template }))
  const lines = Array.from({ length: 300 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`)
  fs.writeFileSync(path.join(cwd, 'corpus.txt'), lines.join('\n'))
  writeEveryTask(path.join(cwd, 'eval-data'))
  fs.writeFileSync(path.join(cwd, 'person.json'), JSON.stringify({ type: 'object', properties: {} }))
  writeRows(cwd, 'questions', [{ prompt: '1 + 1 =', answers: ['2'] }])
})

/** What a reader replaces, and what stands for it here. */
const PLACEHOLDERS: readonly [RegExp, string][] = [
  [/^(MODEL|PATH|SRC|runs\/\S+|\.\/llama|model\.gguf|stories260K\.bin)$/, path.join(cwd, 'model')],
  [/^(DST|silu\.gguf)$/, path.join(cwd, 'converted.gguf')],
  [/^silu-(teal|cats)$/, path.join(cwd, 'cut')],
  [/^relu-predictor\.safetensors$/, path.join(cwd, 'relu-predictor.safetensors')],
  [/^(sweep|lab|law)$/, path.join(cwd, 'sparsity-report')],
  [/^(model-hf|stories260K)$/, path.join(cwd, 'converted')],
  [/^(book\.txt|my-texts\/|notes\/)$/, path.join(cwd, 'corpus.txt')],
  [/^prompts\.txt$/, path.join(cwd, 'corpus.txt')],
  [/^person\.json$/, path.join(cwd, 'person.json')],
  [/^questions\.jsonl$/, path.join(cwd, 'questions.jsonl')],
  [/^eval-data$/, path.join(cwd, 'eval-data')],
  [/^\[?NAME\]?$/, 'silu'],
]
/** Makes a run short; a later flag replaces an earlier one. */
const SHORTER: Readonly<Record<string, readonly string[]>> = {
  generate: ['--max-tokens', '3'],
  eval: ['--max-tokens', '64', '--corpus', path.join(cwd, 'corpus.txt')],
  diversity: ['--n', '2', '--max-tokens', '2', '--limit', '1', '--out', path.join(cwd, 'diversity')],
  convert: ['--force'],
  sparsify: ['--force', '--tokens', '500', '--context', '64', '--measure-tokens', '128'],
  sparsity: ['--force', '--tokens', '128', '--context', '64', '--measure-tokens', '128'],
  logits: [],
  activations: [],
  info: [],
}
/** The same for benchmarks, which have no corpus. */
const SHORTER_TASKS = ['--limit', '1', '--bootstrap', '10', '--out', path.join(cwd, 'evaluations')]
/** Commands whose files are the reader's own, that need the Hub, a GPU or python3, or a model wider than the one here. */
const NEEDS_FILES =
  /--law|tok512\.bin|--plot |--docs |--prompt -$|hf:|--backend webgpu|q4_k_m|--data hub|--allow-code-execution/

const documents = [
  'README.md',
  ...fs.readdirSync('docs').flatMap(name => (name.endsWith('.md') ? [`docs/${name}`] : [])),
]

/** Lines of code blocks that begin with `flicker`, and inline code with flags or arguments. */
function commandsOf(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^```[a-z]*\n([\s\S]*?)^```$/gm)].flatMap(([, code]) =>
    code.split('\n'),
  )
  const inline = [...markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    ([, code]) => code,
  )
  return [...blocks, ...inline].flatMap(code => {
    const command = code.replace(/\s#\s.*$/, '').trim()
    // `…` stands for what was said before it.
    // A group named by itself is no command.
    return /^flicker [a-z]/.test(command) && !/…|bench$/.test(command) ? [command] : []
  })
}

function helpTexts(command: Command): [string, string][] {
  const own: [string, string][] = []
  command.configureOutput({ writeOut: text => own.push([command.name(), text]) }).outputHelp()
  return [...own, ...command.commands.flatMap(helpTexts)]
}

const documented = documents.flatMap(file =>
  commandsOf(fs.readFileSync(file, 'utf8')).map(command => [file, command] as const),
)
const examples = helpTexts(await createProgram()).flatMap(([name, help]) =>
  [...help.matchAll(/^ {2}(?:[A-Z_]+=\S+ |cat \S+ \| )?(flicker [^\n]*?)(?: {2,}.*)?$/gm)].map(
    ([, command]) => [`${name} --help`, command] as const,
  ),
)

function words(command: string): string[] {
  const parts = [...command.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)]
  return parts.slice(1).map(([, double, single, bare]) => double ?? single ?? bare)
}

function replaced(word: string): string {
  return PLACEHOLDERS.find(([pattern]) => pattern.test(word))?.[1] ?? word
}

it('there are commands to test', () => {
  expect(documented.length).toBeGreaterThan(15)
  expect(examples.length).toBeGreaterThan(25)
})

describe.each([...documented, ...examples])('%s: %s', (_, command) => {
  it('names flags and arguments that exist', async () => {
    const program = await createProgram()
    const calls: string[] = []
    // A group may do something by itself, as `flicker models` does.
    const below = (of: Command): Command[] => of.commands.flatMap(command => [command, ...below(command)])
    for (const one of below(program)) one.action(() => void calls.push(one.name()))
    const args = words(command)
    try {
      await program.parseAsync(args.map(replaced), { from: 'user' })
    } catch (error) {
      const code = (error as { code?: string }).code
      // In running text a command may stand without what it needs.
      expect(
        [
          'OPTION_MISSING',
          'commander.missingMandatoryOptionValue',
          'commander.missingArgument',
          'commander.helpDisplayed',
        ],
        `${command}: ${String(error)}`,
      ).toContain(code)
      return
    }
    expect(calls).toHaveLength(1)
  })
})

const runnable = [...documented, ...examples].filter(
  ([, command]) => words(command)[0] in SHORTER && !NEEDS_FILES.test(command) && words(command).length > 1,
)

it('commands that take a moment are run', () => {
  expect(new Set(runnable.map(([, command]) => words(command)[0]))).toEqual(new Set(Object.keys(SHORTER)))
})

it.each(runnable.filter(([, command]) => !/^flicker (generate|logits|eval) --model PATH$/.test(command)))(
  '%s: %s runs',
  async (_, command) => {
    const args = words(command).map(replaced)
    if (args.includes('--help')) return expect((await flickerHere(args)).code).toBe(0)
    const shorter = args.includes('--tasks') ? SHORTER_TASKS : SHORTER[args[0]]
    const { code, stdout, stderr } = await flickerHere([...args, ...shorter])
    expect(code, stderr).toBe(0)
    expect(stdout).not.toMatch(/NaN|undefined/)
  },
)
