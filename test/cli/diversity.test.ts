// `flicker diversity`, and the choice among completions of `flicker generate`.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
const at = (name: string) => path.join(directory, name)

beforeAll(() => {
  const tokenizer = bytesTokenizer()
  const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, activation: 'relu' }
  const tensors = tensorOf(randomTensors(config, 9))
  const named = parameterShapes(config).map(({ name, shape }) => ({ name, shape, data: tensors(name) }))
  writeCheckpoint(at('model'), { config, tensors: named, tokenizer: tokenizer.toJSON() })
  fs.writeFileSync(at('prompts.txt'), 'The \nA cat\nOne\n')
  fs.writeFileSync(
    at('ways.yaml'),
    'n: 3\nmaxTokens: 4\nways:\n  - temperature: [0.5, 1, 2]\n  - p: [0.3]\n    temperature: 1\n',
  )
})

it('prints a line for each way and the comparison, and writes results and a page', async () => {
  const files = ['--prompts', at('prompts.txt'), '--settings', at('ways.yaml'), '--out', at('out')]
  const { code, stdout, stderr } = await flickerHere([
    'diversity',
    '--model',
    at('model'),
    ...files,
    '--limit',
    '2',
  ])
  expect(code, stderr).toBe(0)
  const lines = stdout.trim().split('\n')
  expect(lines[0]).toMatch(/^way +log-likelihood +Vendi +distinct-2 +self-BLEU +zeros +tokens\/s$/)
  expect(lines.slice(1, 5).map(line => line.split(/ {2,}/)[0])).toEqual(['T 0.5', 'T 1', 'T 2', 'p 0.3, T 1'])
  expect(stdout.split('Vendi score of StochA minus')[1]).toContain('p 0.3, T 1')
  const results = JSON.parse(fs.readFileSync(at('out/results.json'), 'utf8'))
  expect(results).toMatchObject({ n: 3, maxTokens: 4, prompts: 2, deterministic: 'relu' })
  expect(fs.readFileSync(at('out/report.html'), 'utf8')).toContain('<h2>Quality against diversity</h2>')
})

it('prints how far agreement and entropy can be trusted where prompts have answers', async () => {
  fs.writeFileSync(
    at('asked.jsonl'),
    '{"prompt": "The ", "answers": ["e"]}\n{"prompt": "A", "answers": ["x"]}\n',
  )
  const files = ['--prompts', at('asked.jsonl'), '--settings', at('ways.yaml'), '--out', at('asked')]
  const { code, stdout, stderr } = await flickerHere(['diversity', '--model', at('model'), ...files])
  expect(code, stderr).toBe(0)
  const [, told] = stdout.split('Confidence, against whether the answer is right:\n')
  expect(told).toMatch(
    /^ {2}entropy of one deterministic pass: AUROC .*\n {2}agreement of samples, T 0\.5: AUROC /,
  )
})

it.each([
  [['--prompts', 'none.txt'], /none\.txt does not exist \[PROMPTS_UNREADABLE\]/],
  [['--prompts', at('prompts.txt'), '--settings', 'no-such'], /cannot read the recipe no-such/],
  [
    ['--prompts', at('prompts.txt'), '--max-tokens', '95'],
    /prompt 1 has 4 tokens, and with 95 more .*\[PROMPT_TOO_LONG\]/,
  ],
  [[], /--prompts is missing/],
])('%j is refused', async (args, message) => {
  const { code, stdout, stderr } = await flickerHere(['diversity', '--model', at('model'), ...args])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr.trim().split('\n').at(-1)).toMatch(message)
})

describe('generate --best-of', () => {
  const generate = (...flags: string[]) =>
    flickerHere([
      'generate',
      '--model',
      at('model'),
      '--prompt',
      'The ',
      '--max-tokens',
      '5',
      '--ignore-eos',
      ...flags,
    ])

  it('prints one of the completions, and which', async () => {
    const drawn = ['--temperature', '2', '--n', '5']
    const all = JSON.parse((await generate(...drawn, '--json')).stdout).samples
    const { code, stdout, stderr } = await generate(...drawn, '--best-of', 'likelihood')
    expect(code, stderr).toBe(0)
    const sequence = Number(/sequence (\d+), the best of 5 by likelihood/.exec(stderr)?.[1])
    expect(stdout).toBe(`The ${all[sequence].text}\n`)
    // Without draws in the network the log-probabilities of the tokens are the likelihood.
    const sums = all.map(({ tokens }: { tokens: { logprob: number }[] }) =>
      tokens.reduce((sum, { logprob }) => sum + logprob, 0),
    )
    expect(sums[sequence]).toBe(Math.max(...sums))
    expect(new Set(sums).size).toBe(5)
    const json = JSON.parse((await generate(...drawn, '--best-of', 'vote', '--json')).stdout)
    expect(json.samples).toHaveLength(1)
  })

  it('needs several completions', async () => {
    const { code, stderr } = await generate('--best-of', 'vote')
    expect(code).toBe(2)
    expect(stderr).toContain('--best-of chooses among completions; add --n with at least 2 [BEST_OF_ONE]')
  })
})
