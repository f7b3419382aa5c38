// `flicker convert` and `flicker logits` as a user meets them, on the published model of llama2.c.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { load } from '../../src/engine/index.js'
import { describeWith, sharedData } from '../data/shared-data.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'

const model = sharedData('checkpoints/stories260K.bin')
const tokenizer = sharedData('tokenizers/llama2c_tok512.bin')
const story = 'Once upon a time, there was a little girl named Lily. She loved to play outside in the park.'

describeWith('checkpoints/stories260K.bin', 'converting a model of llama2.c', () => {
  const cwd = temporaryDirectory()
  afterAll(() => fs.rmSync(cwd, { recursive: true }))
  const at = (name: string) => path.join(cwd, name)
  const run = (...args: string[]) => flickerHere(args)
  const convert = (from: string, to: string, ...more: string[]) => run('convert', from, to, '--json', ...more)
  const logits = async (of: string, ...more: string[]) => {
    const { code, stdout, stderr } = await run('logits', '--model', of, '--json', ...more)
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout) as { tokens: number[]; vocabSize: number; logits: number[][] }
  }

  beforeAll(async () => {
    const first = await convert(model, at('stories'), '--tokenizer', tokenizer)
    expect(first.code, first.stderr).toBe(0)
    expect(JSON.parse(first.stdout)).toMatchObject({ format: 'hf', dtype: 'f32', tensors: 47, notes: [] })
    const second = await convert(at('stories'), at('stories.gguf'))
    expect(JSON.parse(second.stdout)).toMatchObject({ format: 'gguf', dtype: 'f32' })
  })

  it('gives the same logits bit for bit from all three', async () => {
    const original = await logits(model, '--tokens', '1,403,407,261')
    expect(original).toMatchObject({ tokens: [1, 403, 407, 261], vocabSize: 512 })
    expect(original.logits.map(row => row.length)).toEqual([512, 512, 512, 512])
    for (const of of [at('stories'), at('stories.gguf')]) {
      // A model.bin has no tokenizer in it, so its ids have no text.
      expect(await logits(of, '--tokens', '1,403,407,261')).toEqual({
        ...original,
        texts: [
          expect.any(String),
          'Once',
          expect.stringMatching(/^ ?upon$/),
          expect.stringMatching(/^ ?a$/),
        ],
      })
    }
    const last = await logits(at('stories.gguf'), '--tokens', '1,403,407,261', '--last')
    expect(last.logits).toEqual([original.logits[3]])
  })

  it('takes ids as they are, and puts the start token before a text', async () => {
    expect((await logits(at('stories'), '--tokens', '403')).tokens).toEqual([403])
    for (const of of [at('stories'), at('stories.gguf')]) {
      expect((await logits(of, '--prompt', 'Once upon a time', '--last')).tokens).toEqual([
        1, 403, 407, 261, 378,
      ])
    }
  })

  it('prints the most likely tokens for people, with their text', async () => {
    const { stdout } = await run('logits', '--model', at('stories'), '--tokens', '1', '--last')
    expect(stdout).toMatch(/^ +0 {2}token 1 ".*" +→ 403 ".+" \d/)
  })

  it('leaves a model that tells its story, 200 tokens of it, the same from all three', async () => {
    const told: number[][] = []
    for (const of of [model, at('stories'), at('stories.gguf')]) {
      const loaded = await load(of, { dtype: 'f32', ...(of === model ? { tokenizer } : {}) })
      const ids: number[] = []
      for await (const { id } of loaded.generate('', { maxTokens: 200 })) ids.push(id)
      expect(ids).toHaveLength(200)
      expect(loaded.tokenizer.decode(ids).slice(0, story.length)).toBe(story)
      told.push(ids)
      loaded.dispose()
    }
    expect(told[1]).toEqual(told[0])
    expect(told[2]).toEqual(told[0])
  })

  it('quantizes, and keeps what is quantized already byte by byte', async () => {
    const small = await convert(at('stories'), at('small.gguf'), '--dtype', 'q8_0')
    expect(JSON.parse(small.stdout)).toMatchObject({ dtype: 'q8_0' })
    await convert(at('small.gguf'), at('again.gguf'))
    const [once, twice] = [at('small.gguf'), at('again.gguf')].map(file => fs.readFileSync(file))
    expect(twice.subarray(-200_000).equals(once.subarray(-200_000))).toBe(true)
  })

  it('does not replace what is there unless told to', async () => {
    const before = fs.readFileSync(at('stories.gguf'))
    const refused = await convert(at('stories'), at('stories.gguf'), '--dtype', 'bf16')
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toMatch(/stories\.gguf exists; give --force.*\[DESTINATION_EXISTS\]/)
    expect(fs.readFileSync(at('stories.gguf')).equals(before)).toBe(true)
    fs.copyFileSync(at('stories.gguf'), at('forced.gguf'))
    expect((await convert(at('stories'), at('forced.gguf'), '--dtype', 'bf16', '--force')).code).toBe(0)
    expect(fs.statSync(at('forced.gguf')).size).toBeLessThan(before.length)
  })

  it('says in a note when llama.cpp cannot run the model', async () => {
    const config = at('stories/config.json')
    const silu = fs.readFileSync(config, 'utf8')
    fs.writeFileSync(
      config,
      silu
        .replace('"hidden_act": "silu"', '"hidden_act": "relu"')
        .replace('"activation": "silu"', '"activation": "relu"'),
    )
    const { code, stdout, stderr } = await run('convert', at('stories'), at('relu.gguf'))
    fs.writeFileSync(config, silu)
    expect(code).toBe(0)
    expect(stdout).toMatch(/relu\.gguf: gguf, f32, 47 tensors, 1\.\d MB\n$/)
    expect(stderr).toMatch(
      /note: llama\.cpp runs no gated FFN with relu in such a block, and will refuse this file/,
    )
  })

  it.each<[string, string[], RegExp]>([
    [
      'no tokenizer',
      ['convert', model, at('x')],
      /give its tokenizer\.bin with --tokenizer.*TOKENIZER_NOT_FOUND/,
    ],
    [
      'a type that the format lacks',
      ['convert', at('stories'), at('x'), '--dtype', 'q4_0'],
      /holds f32, f16 or bf16, not q4_0.*DTYPE_FORMAT/,
    ],
    [
      'an unknown type',
      ['convert', at('stories'), at('x.gguf'), '--dtype', 'q5_0'],
      /--dtype must be one of f32, bf16, f16/,
    ],
    [
      'no model',
      ['convert', at('nowhere'), at('x')],
      /there is no checkpoint directory .*nowhere.*CHECKPOINT_MISSING/,
    ],
    ['no tokens', ['logits', '--model', at('stories')], /give --tokens 1,2,3, --prompt.*TOKENS_MISSING/],
    [
      'tokens and a text',
      ['logits', '--model', at('stories'), '--tokens', '1', '--prompt', 'a'],
      /cannot be used with/,
    ],
    [
      'tokens that are none',
      ['logits', '--model', at('stories'), '--tokens', '1,x'],
      /"x" is not a token id/,
    ],
    [
      'a token outside',
      ['logits', '--model', at('stories'), '--tokens', '512'],
      /token 512 at position 0 is outside the model's vocabulary of 512/,
    ],
  ])('%s is one clear line', async (_, args, message) => {
    const { code, stdout, stderr } = await run(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(message)
    expect(fs.readdirSync(cwd).filter(name => name.startsWith('x') || name.startsWith('.'))).toEqual([])
  })
})
