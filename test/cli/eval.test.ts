// `flicker eval` on models of every kind: the same model gives the same measurements, whatever file it is in.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { convertModel } from '../../src/formats/index.js'
import { writeRows } from '../eval/task-fixtures.js'
import { contentOf, temporaryDirectory, tinyConfig } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
const at = (name: string) => path.join(directory, name)

it('measures a GGUF file as it measures the directory that it was made from', async () => {
  const tokenizer = bytesTokenizer()
  writeCheckpoint(
    at('model'),
    contentOf({ ...tinyConfig, vocabSize: tokenizer.vocabSize }, { tokenizer: tokenizer.toJSON() }),
  )
  convertModel(at('model'), at('model.gguf'), { to: 'gguf' })
  fs.writeFileSync(at('text.txt'), 'To be, or not to be, that is the question. '.repeat(20))
  const measured = async (model: string) => {
    const args = ['eval', '--model', model, '--corpus', at('text.txt'), '--whole', '--json']
    const { code, stdout, stderr } = await flickerHere(args)
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout)
  }
  const expected = await measured(at('model'))
  expect(expected.loss).toBeGreaterThan(0)
  expect(await measured(at('model.gguf'))).toEqual(expected)
})

describe('a model with cuts', () => {
  const evaluated = async (model: string, ...more: string[]) => {
    const args = [
      'eval',
      '--model',
      at(model),
      '--corpus',
      at('text.txt'),
      '--whole',
      '--context',
      '16',
      '--json',
    ]
    const { code, stdout, stderr } = await flickerHere([...args, ...more])
    expect(code, stderr).toBe(0)
    return { result: JSON.parse(stdout), stderr }
  }

  it('is measured as it is cut, and says so; --exact measures its weights', async () => {
    const tokenizer = bytesTokenizer()
    const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize, activation: 'silu' }
    writeCheckpoint(at('dense'), contentOf(config, { tokenizer: tokenizer.toJSON() }))
    fs.writeFileSync(at('text.txt'), 'To be, or not to be, that is the question. '.repeat(20))
    for (const [name, sparsity] of [
      ['barely', '0.000001'],
      ['half', '0.6'],
    ]) {
      const cut = await flickerHere([
        ...[
          'sparsify',
          '--model',
          at('dense'),
          '--method',
          'cats',
          '--sparsity',
          sparsity,
          '--out',
          at(name),
        ],
        ...['--calibrate', at('text.txt'), '--tokens', '300', '--context', '16'],
      ])
      expect(cut.code, cut.stderr).toBe(0)
    }
    const dense = await evaluated('dense')
    const [barely, half, exact] = [
      await evaluated('barely'),
      await evaluated('half'),
      await evaluated('half', '--exact'),
    ]
    // Two implementations of the same measurement: where almost nothing is cut they agree, the short last window included.
    expect(barely.result.tokens).toBe(dense.result.tokens)
    expect(Math.abs(barely.result.loss - dense.result.loss)).toBeLessThan(1e-5)
    expect(Math.abs(barely.result.bitsPerByte - dense.result.bitsPerByte)).toBeLessThan(1e-5)
    expect(Math.abs(half.result.loss - dense.result.loss)).toBeGreaterThan(1e-5)
    for (const zeros of half.result.sparsity) expect(Math.abs(zeros - 0.6)).toBeLessThan(0.1)
    expect(half.result.approximate).toBe(true)
    expect(half.stderr).toMatch(/approximate: cut by cats, at every position/)
    expect(exact.result).toEqual(dense.result)
    expect(exact.stderr).not.toContain('approximate')
  })
})

describe('--tasks', () => {
  const row = (i: number) => ({ goal: `goal number ${i}`, sol1: 'one way', sol2: `way ${i}`, label: i % 2 })
  const run = (...args: string[]) => flickerHere(['eval', ...args])
  const common = () => ['--data', at('data'), '--out', at('out'), '--bootstrap', '20']

  beforeAll(() => {
    const tokenizer = bytesTokenizer()
    for (const [name, heads] of [
      ['first', 2],
      ['second', 1],
    ] as const) {
      const config = { ...tinyConfig, numAttentionHeads: heads, vocabSize: tokenizer.vocabSize }
      writeCheckpoint(at(name), contentOf(config, { tokenizer: tokenizer.toJSON() }))
    }
    writeRows(
      at('data'),
      'piqa_val',
      Array.from({ length: 12 }, (_, i) => row(i)),
    )
  })

  it('prints a table, says what was cut, and writes results and samples', async () => {
    const { code, stdout, stderr } = await run('--model', at('first'), '--tasks', 'piqa', ...common())
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^task +version +shots +questions +metric/)
    expect(stdout).toMatch(/piqa +1 +0 +12 +acc +[01]\.\d{4}/)
    expect(stderr).toMatch(/piqa: \d+ of 12 questions are longer than the context of 32 tokens/)
    const [model] = fs.readdirSync(at('out'))
    const files = fs.readdirSync(path.join(at('out'), model)).sort()
    expect(files).toEqual(['results.json', expect.stringMatching(/^samples_piqa_[0-9a-f]{12}\.jsonl$/)])
    const again = await run('--model', at('first'), '--tasks', 'piqa', ...common(), '--json')
    expect(again.stderr).toContain('12 of 12 questions were answered earlier')
    expect(JSON.parse(again.stdout)).toEqual(
      JSON.parse(fs.readFileSync(path.join(at('out'), model, 'results.json'), 'utf8')),
    )
  })

  it('compares models on the same questions', async () => {
    const models = ['--model', at('first'), '--model', at('second')]
    const { code, stdout, stderr } = await run(...models, '--tasks', 'piqa', ...common())
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/against .*first +task +metric +difference +std\. error +95 % interval/)
    const { stdout: json } = await run(...models, '--tasks', 'piqa', ...common(), '--json')
    const { models: each, differences } = JSON.parse(json)
    const [first, second] = each.map((one: Record<string, never>) => one.results)
    const difference = second.piqa['acc,none'] - first.piqa['acc,none']
    expect(differences.models[at('second')].piqa['acc,none'].value).toBeCloseTo(difference, 12)
  })

  it('runs programs that the model writes where it is told to, and adds acc_mutual_info', async () => {
    const stub = { task_id: 'JavaScript/0', prompt: 'const f = () => {\n', entry_point: 'f' }
    writeRows(at('data'), 'humaneval_js', [{ ...stub, test: 'console.assert(f() === 1)\n' }])
    const flags = ['--tasks', 'humaneval_js,piqa', '--allow-code-execution', '--mutual-info', '--limit', '1']
    const { code, stdout, stderr } = await run('--model', at('first'), ...flags, ...common(), '--json')
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/what the model writes is run with/)
    const { results, configs } = JSON.parse(stdout)
    expect(results.humaneval_js).toMatchObject({ 'pass@1,create_test': 0 })
    expect(configs.humaneval_js).toMatchObject({
      output_type: 'generate_until',
      unsafe_code: true,
      repeats: 1,
    })
    expect(results.piqa).toMatchObject({ 'acc_mutual_info,none': expect.any(Number) })
  })

  it.each([
    [['--tasks', 'piqua', '--data', 'data'], /no task "piqua"\. Did you mean "piqa"\?.*\[TASK_UNKNOWN\]/],
    [['--tasks', 'piqa'], /give --data DIR/],
    [
      ['--tasks', 'humaneval', '--data', 'data'],
      /humaneval runs programs .*--allow-code-execution.*\[CODE_EXECUTION\]/,
    ],
    [['--mutual-info'], /--mutual-info belongs to --tasks/],
    [['--tasks', 'piqa', '--corpus', 'x.txt'], /--corpus measures a loss, not --tasks/],
    [['--shots', '2'], /--shots belongs to --tasks/],
    [['--model', 'other'], /several --model are compared on --tasks/],
  ])('%j is refused', async (args, message) => {
    const { code, stdout, stderr } = await run('--model', at('first'), ...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(message)
  })
})
