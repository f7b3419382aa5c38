// Activations from files are code: nothing runs them without permission, whatever names them.

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { prepareData } from '../../src/data/prepare.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { load } from '../../src/engine/index.js'
import { CheckpointError } from '../../src/errors.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import type * as Lab from '../../src/lab/index.js'
import { parseLabRecipe } from '../../src/lab/recipe.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { parseRecipe } from '../../src/study/recipe.js'
import { modelSchema, train, trainingSchema } from '../../src/train/index.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'
import { flicker } from './run.js'

const cwd = temporaryDirectory()
const at = (name: string) => path.join(cwd, name)
const tiny = { ...smallConfig, hiddenSize: 32, intermediateSize: 96, vocabSize: bytesTokenizer().vocabSize }
const shape =
  '--steps 2 --hidden-size 16 --intermediate-size 32 --num-hidden-layers 1 --num-attention-heads 2 --batch-size 2 --context 16 ' +
  '--eval-tokens 64'

beforeAll(() => {
  fs.writeFileSync(
    at('corpus.txt'),
    Array.from({ length: 300 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`).join('\n'),
  )
  writeModel('model', 'relu')
})
afterAll(() => fs.rmSync(cwd, { recursive: true }))

let files = 0
/** An activation file that leaves a mark when it runs, under a name of its own: loaded files stay loaded. */
function activationFile(): { file: string; ran: () => boolean } {
  const name = `mine-${++files}`
  const mark = at(`${name}.ran`)
  fs.writeFileSync(
    at(`${name}.mjs`),
    `import fs from 'node:fs'
fs.writeFileSync(${JSON.stringify(mark)}, '')
export default { forward: x => (x > 0 ? x : 0), derivative: x => (x > 0 ? 1 : 0) }`,
  )
  return { file: at(`${name}.mjs`), ran: () => fs.existsSync(mark) }
}

function writeModel(name: string, activation: string): void {
  const tensors = tensorOf(randomTensors(tiny, 9))
  writeCheckpoint(at(name), {
    config: { ...tiny, activation: 'relu' },
    tensors: parameterShapes(tiny).map(({ name, shape }) => ({ name, shape, data: tensors(name) })),
    tokenizer: bytesTokenizer().toJSON(),
  })
  const config = at(`${name}/config.json`)
  const text = fs.readFileSync(config, 'utf8')
  // As somebody else could have written it.
  fs.writeFileSync(
    config,
    text.replaceAll('"activation": "relu"', `"activation": ${JSON.stringify(activation)}`),
  )
  expect(fs.readFileSync(config, 'utf8')).toContain(`"activation": ${JSON.stringify(activation)}`)
}

const recipe = (file: string) => `
name: own
title: One run
corpus: ${at('corpus.txt')}
model: {hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 1, numAttentionHeads: 2}
training: {steps: 2, batchSize: 2, context: 16, evalEvery: 2, evalTokens: 64}
measure: {decodeTokens: 4, decodePasses: 1, sampleTokens: 0, dtypes: [f32]}
runs: [{name: one, strategy: scratch, activation: ${file}}]
`
const labRecipe = (file: string) =>
  `nSamples: 100\nnFeatures: 4\nepochs: 1\nnRuns: 1\nvariants: [{name: one, activation: ${file}}]\n`

const commands: [name: string, args: (file: string) => string[]][] = [
  ['train --activation', file => trainArguments('--activation', file)],
  ['train --from', file => trainArguments('--strategy', 'swift', '--from', file)],
  ['train --before', file => trainArguments('--strategy', 'anneal', '--before', file)],
  ['train --to', file => trainArguments('--strategy', 'stocha', '--to', file)],
  [
    'generate --activation',
    file => ['generate', '--model', at('model'), '--prompt', 'a', '--max-tokens', '2', '--activation', file],
  ],
  [
    'eval --activation',
    file => [
      'eval',
      '--model',
      at('model'),
      '--corpus',
      at('corpus.txt'),
      '--activation',
      file,
      '--max-tokens',
      '64',
    ],
  ],
  ['activations NAME', file => ['activations', file]],
  ['bench activations', file => ['bench', 'activations', '--millions', '1', '--activations', file]],
  [
    'mlp --activations',
    file => [
      'mlp',
      '--n-samples',
      '100',
      '--epochs',
      '1',
      '--n-runs',
      '1',
      '--out',
      at('lab'),
      '--activations',
      file,
    ],
  ],
  [
    'mlp RECIPE',
    file => {
      fs.writeFileSync(at('lab.yaml'), labRecipe(file))
      return ['mlp', at('lab.yaml'), '--out', at('lab-recipe')]
    },
  ],
  [
    'study RECIPE',
    file => {
      fs.writeFileSync(at('own.yaml'), recipe(file))
      return ['study', at('own.yaml'), '--out', at('study')]
    },
  ],
]
function trainArguments(...flags: string[]): string[] {
  return ['train', '--out', at('run'), '--fresh', '--corpus', at('corpus.txt'), ...shape.split(' '), ...flags]
}

describe('on the command line', () => {
  it.each(commands)('%s runs a file with --allow-code only', async (_, args) => {
    const { file, ran } = activationFile()
    // The lab's worker threads need the compiled package.
    const run = args(file)[0] === 'mlp' ? flicker : flickerHere
    const refused = await run(args(file))
    expect([refused.code, refused.stdout], refused.stderr).toEqual([2, ''])
    expect(refused.stderr).toContain('--allow-code')
    expect(refused.stderr.trim().split('\n').at(-1)).toMatch(/\[[A-Z_]+\]$/)
    expect(ran()).toBe(false)

    const allowed = await run([...args(file), '--allow-code'])
    expect(allowed.code, allowed.stderr).toBe(0)
    expect(ran()).toBe(true)
  })
})

describe('in the library', () => {
  const data = () => prepareData({ corpus: at('corpus.txt'), tokenizer: 'bytes' })
  const trainOn = (activation: string, allowCode?: boolean) =>
    train({
      directory: at('library-run'),
      fresh: true,
      model: modelSchema.parse({
        hiddenSize: 16,
        intermediateSize: 32,
        numHiddenLayers: 1,
        numAttentionHeads: 2,
      }),
      strategy: { strategy: 'scratch', activation },
      training: trainingSchema.parse({ steps: 1, batchSize: 2, context: 16, evalTokens: 32 }),
      data: data(),
      allowCode,
    })
  const lab = { nSamples: 100, nFeatures: 4, epochs: 1, nRuns: 1 }

  const calls: [name: string, call: (file: string, allowCode?: boolean) => unknown][] = [
    ['load', (activation, allowCode) => load(at('model'), { activation, allowCode })],
    ['train', trainOn],
    [
      'runLab',
      async (file, allowCode) => {
        // Its worker threads need the compiled package.
        const { runLab } = (await import(pathToFileURL(path.resolve('dist/lab/index.js')).href)) as typeof Lab
        return runLab({ ...lab, activations: [file] }, { allowCode })
      },
    ],
    ['parseRecipe', (file, allowCode) => parseRecipe(recipe(file), 'own.yaml', { allowCode })],
    ['parseLabRecipe', (file, allowCode) => parseLabRecipe(labRecipe(file), 'lab.yaml', { allowCode })],
  ]
  it.each(calls)('%s runs a file with allowCode: true only', async (_, call) => {
    const { file, ran } = activationFile()
    for (const allowCode of [undefined, false]) {
      const error: unknown = await (async () => call(file, allowCode))().catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) })
      expect(String(error)).toContain('allowCode: true')
      expect(ran()).toBe(false)
    }
    await call(file, true)
    expect(ran()).toBe(true)
  })

  it('a call for text never runs a file, and takes one that has been loaded', async () => {
    const { file, ran } = activationFile()
    const model = await load(at('model'))
    const options = { maxTokens: 2, activation: file }
    await expect(model.complete('a', options)).rejects.toMatchObject({ code: 'ACTIVATION_FILE_NOT_LOADED' })
    expect(ran()).toBe(false)
    await load(at('model'), { activation: file, allowCode: true })
    expect((await model.complete('a', options)).tokens).toHaveLength(2)
  })
})

describe('a checkpoint whose config names a file', () => {
  it('never runs it, with or without permission for what the user names', async () => {
    const { file, ran } = activationFile()
    writeModel('hostile', file)
    await expect(load(at('hostile'))).rejects.toThrow(CheckpointError)
    await expect(load(at('hostile'), { allowCode: true })).rejects.toThrow(CheckpointError)
    for (const args of [
      ['generate', '--prompt', 'a'],
      ['eval', '--corpus', at('corpus.txt')],
      ['logits', '--tokens', '1'],
    ]) {
      const { code, stderr } = await flickerHere([...args, '--model', at('hostile')])
      expect(code, stderr).toBe(2)
    }
    const allowed = await flickerHere(['generate', '--prompt', 'a', '--model', at('hostile'), '--allow-code'])
    expect(allowed.code, allowed.stderr).toBe(2)
    expect(ran()).toBe(false)
    expect(() => parseActivation(file)).toThrow(/--allow-code/)
  })
})
