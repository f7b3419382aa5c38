// `flicker eval` on models of every kind: the same model gives the same measurements, whatever file it is in.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { convertModel } from '../../src/formats/index.js'
import { contentOf, temporaryDirectory, tinyConfig } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))

it('measures a GGUF file as it measures the directory that it was made from', async () => {
  const at = (name: string) => path.join(directory, name)
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
