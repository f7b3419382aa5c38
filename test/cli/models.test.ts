// `hf:owner/name` on the command line and in the library, and `flicker models`, against a Hub on localhost.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { load } from '../../src/engine/index.js'
import { writeCheckpoint, writeGguf } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { startHub } from '../hub/hub-server.js'
import { flickerHere } from './in-process.js'

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-models-'))
const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize }
const local = path.join(root, 'model.gguf')
writeGguf(local, { config, tokenizer, dtype: 'f32', tensor: tensorOf(randomTensors(config, 4)) })
const server = await startHub(new Map([['model-F32.gguf', fs.readFileSync(local)]]))
const before = { ...process.env }
Object.assign(process.env, { HF_ENDPOINT: server.endpoint, HF_HOME: path.join(root, 'home') })
delete process.env.HF_HUB_CACHE
afterAll(async () => {
  process.env = before
  await server.close()
  fs.rmSync(root, { recursive: true })
})
const logits = ['--tokens', '72,105', '--last', '--json']

it('a model of the Hub runs as the same file from the disk, is listed, and can be removed', async () => {
  const expected = await flickerHere(['logits', '--model', local, ...logits])
  const first = await flickerHere(['logits', '--model', 'hf:owner/name', ...logits])
  expect(first.stderr).toMatch(/downloading .* of owner\/name, 1 file; the model fits in the .* of memory/)
  expect(JSON.parse(first.stdout).logits).toEqual(JSON.parse(expected.stdout).logits)
  const again = await flickerHere(['logits', '--model', 'hf:owner/name', ...logits])
  expect(again.stderr).not.toMatch(/downloading/)

  const listed = JSON.parse((await flickerHere(['models', '--json'])).stdout)
  expect(listed.models).toMatchObject([{ repo: 'owner/name', bytes: fs.statSync(local).size }])
  expect((await flickerHere(['models'])).stdout).toMatch(/owner\/name\n +model-F32\.gguf\n1 model, /)

  const model = await load('hf:owner/name')
  expect(model.config.hiddenSize).toBe(config.hiddenSize)
  model.dispose()

  expect((await flickerHere(['models', 'remove', 'owner/name'])).stdout).toMatch(/owner\/name removed/)
  expect(JSON.parse((await flickerHere(['models', '--json'])).stdout).models).toEqual([])
})

it('download prints where the file is; convert reads from the Hub', async () => {
  const { stdout } = await flickerHere(['models', 'download', 'hf:owner/name:F32'])
  expect(fs.readFileSync(stdout.trim())).toEqual(fs.readFileSync(local))
  const copy = path.join(root, 'copy.gguf')
  await flickerHere(['convert', 'hf:owner/name', copy])
  expect(fs.statSync(copy).size).toBeGreaterThan(1000)
})

it('a model that does not fit in memory is refused before a byte is fetched, by what runs it alone', async () => {
  await flickerHere(['models', 'remove', 'owner/name'])
  server.faults.listedSize = 2 ** 52
  const requests = server.fileRequests.length
  try {
    const run = await flickerHere(['logits', '--model', 'hf:owner/name', ...logits])
    expect(run.code).not.toBe(0)
    expect(run.stderr).toMatch(/the model does not fit in the [\d.]+ [MG]B of memory/)
    expect(run.stderr).toMatch(/needs 4\.50e\+6 GB as in the file, [\d.]+ [MG]B are available.*MODEL_MEMORY/)
    const download = await flickerHere(['models', 'download', 'hf:owner/name'])
    expect(download.stderr).toMatch(/DISK_FULL/)
  } finally {
    delete server.faults.listedSize
  }
  expect(server.fileRequests).toHaveLength(requests)
})

it('rows of the embedding that no token has are shown by their number; fewer rows than tokens are refused', async () => {
  const make = (vocabSize: number) => {
    const other = { ...config, vocabSize }
    const tensors = randomTensors(other, 4)
    const content = [...tensors].map(([name, data]) => {
      const width =
        name.includes('embed') || name.includes('lm_head') ? [vocabSize, data.length / vocabSize] : null
      return { name, data, shape: width ?? shapeOf.get(name) ?? [] }
    })
    const directory = path.join(root, `vocabulary-${vocabSize}`)
    writeCheckpoint(directory, { config: other, tensors: content, tokenizer: tokenizer.toJSON() })
    return directory
  }
  const shapeOf = new Map(parameterShapes(config).map(({ name, shape }) => [name, shape]))
  const size = tokenizer.vocabSize
  const all = ['--prompt', 'a', '--last', '--top', String(size + 40)]
  const larger = await flickerHere(['logits', '--model', make(size + 40), ...all])
  expect(larger.code).toBe(0)
  expect(larger.stdout).toMatch(new RegExp(`, ${size + 39} -?\\d`))
  for (const command of [
    ['generate', '--prompt', 'a'],
    ['logits', '--prompt', '\u00ff'],
  ]) {
    const smaller = await flickerHere([command[0], '--model', make(size - 40), ...command.slice(1)])
    expect(smaller.code).not.toBe(0)
    expect(smaller.stderr).toMatch(new RegExp(`${size}.*${size - 40}.*VOCABULARY_MISMATCH`))
  }
})

it('a name that is none is one line', async () => {
  const { code, stderr } = await flickerHere(['logits', '--model', 'hf:owner', ...logits])
  expect(code).toBe(2)
  expect(stderr).toMatch(/names no model on the Hub.*HUB_REFERENCE/)
})
