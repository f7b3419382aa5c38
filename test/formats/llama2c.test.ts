// llama2.c's files: the published model reads as its own program reads it. The oracle below is run.c's forward pass
// written out, on the file's own order of the rows (rotation of neighboring pairs), sharing no code with ours.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { openModel } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { Tape } from '../../src/tensor/index.js'
import { describeWith, sharedData } from '../data/shared-data.js'
import { temporaryDirectory } from './tiny-model.js'

const model = sharedData('checkpoints/stories260K.bin')
const version1 = sharedData('checkpoints/stories260K_v1.bin')
const tokenizer = sharedData('tokenizers/llama2c_tok512.bin')
const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))

/** Tokens chosen greedily after <s>, and the logits that chose them, from the bytes of a legacy model.bin. */
function runC(file: string, steps: number): { tokens: number[]; logits: Float32Array[] } {
  const bytes = fs.readFileSync(file)
  const word = (i: number) => bytes.readInt32LE(4 * i)
  const [dim, hidden, layers, heads, kvHeads, vocab] = [0, 1, 2, 3, 4, 5].map(word)
  const headSize = dim / heads
  const kvDim = kvHeads * headSize
  let at = 28
  const take = (n: number) => {
    const values = new Float32Array(n)
    for (let i = 0; i < n; i++) values[i] = bytes.readFloatLE(at + 4 * i)
    at += 4 * n
    return values
  }
  const embedding = take(vocab * dim)
  const attentionNorm = take(layers * dim)
  const wq = take(layers * dim * dim)
  const wk = take(layers * kvDim * dim)
  const wv = take(layers * kvDim * dim)
  const wo = take(layers * dim * dim)
  const ffnNorm = take(layers * dim)
  const w1 = take(layers * hidden * dim)
  const w2 = take(layers * dim * hidden)
  const w3 = take(layers * hidden * dim)
  const finalNorm = take(dim)

  const norm = (x: number[], w: Float32Array, first: number) => {
    const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + 1e-5)
    return x.map((v, i) => v * scale * w[first + i])
  }
  const times = (w: Float32Array, layer: number, rows: number, x: number[]) =>
    Array.from({ length: rows }, (_, row) => {
      const start = (layer * rows + row) * x.length
      return x.reduce((sum, v, i) => sum + w[start + i] * v, 0)
    })
  const rotate = (x: number[], position: number) => {
    const out = [...x]
    for (let i = 0; i < x.length; i += 2) {
      const angle = position / 10_000 ** ((i % headSize) / headSize)
      out[i] = x[i] * Math.cos(angle) - x[i + 1] * Math.sin(angle)
      out[i + 1] = x[i] * Math.sin(angle) + x[i + 1] * Math.cos(angle)
    }
    return out
  }
  const cache = Array.from({ length: layers }, () => ({ keys: [] as number[][], values: [] as number[][] }))
  const tokens = [1]
  const logits: Float32Array[] = []
  for (let position = 0; position < steps; position++) {
    const token = tokens[position]
    let x = [...embedding.slice(token * dim, (token + 1) * dim)]
    for (let layer = 0; layer < layers; layer++) {
      const normed = norm(x, attentionNorm, layer * dim)
      const query = rotate(times(wq, layer, dim, normed), position)
      const { keys, values } = cache[layer]
      keys.push(rotate(times(wk, layer, kvDim, normed), position))
      values.push(times(wv, layer, kvDim, normed))
      const mixed: number[] = []
      for (let head = 0; head < heads; head++) {
        const kv = Math.floor(head / (heads / kvHeads)) * headSize
        const scores = keys.map(key => {
          let score = 0
          for (let i = 0; i < headSize; i++) score += query[head * headSize + i] * key[kv + i]
          return score / Math.sqrt(headSize)
        })
        const largest = Math.max(...scores)
        const weights = scores.map(score => Math.exp(score - largest))
        const total = weights.reduce((a, b) => a + b)
        for (let i = 0; i < headSize; i++) {
          mixed.push(weights.reduce((sum, weight, t) => sum + (weight / total) * values[t][kv + i], 0))
        }
      }
      const attended = times(wo, layer, dim, mixed)
      x = x.map((v, i) => v + attended[i])
      const inner = norm(x, ffnNorm, layer * dim)
      const up = times(w3, layer, hidden, inner)
      const gated = times(w1, layer, hidden, inner).map((v, i) => (v / (1 + Math.exp(-v))) * up[i])
      const added = times(w2, layer, dim, gated)
      x = x.map((v, i) => v + added[i])
    }
    logits.push(Float32Array.from(times(embedding, 0, vocab, norm(x, finalNorm, 0))))
    tokens.push(argmax(logits[position]))
  }
  return { tokens: tokens.slice(1), logits }
}

function argmax(values: Float32Array): number {
  return values.indexOf(values.reduce((a, b) => Math.max(a, b)))
}

/** What llama2.c prints at temperature 0, 200 tokens after <s>; published with the model. */
const story =
  'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ' +
  'One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n'

describeWith('checkpoints/stories260K.bin', 'the published model of llama2.c', () => {
  const open = (file = model) => openModel(file, { tokenizer })

  it('has the logits of run.c, and tells its story, 200 tokens of it', () => {
    const source = open()
    const { tokens, logits } = runC(model, 200)
    const { data } = Llama.from(source.config, name => source.tensor(name)).logits(
      new Tape(kernels(), { training: false }),
      Int32Array.from([1, ...tokens.slice(0, -1)]),
      200,
      {
        activation: parseActivation(source.config.activation),
        draw: { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, firstRow: 0 },
      },
    )
    for (const [position, theirs] of logits.entries()) {
      const ours = data.subarray(512 * position, 512 * (position + 1)) as Float32Array
      expect(argmax(ours), `token ${position}`).toBe(tokens[position])
      const worst = theirs.reduce((most, logit, i) => Math.max(most, Math.abs(logit - ours[i])), 0)
      expect(worst, `logits of token ${position}`).toBeLessThan(2e-4)
    }
    const text = source.tokenizer().decode(tokens)
    expect(text.slice(0, story.length)).toBe(story)
    source.close()
  })

  it('is the same model in both versions of the format', () => {
    const [legacy, newer] = [open(), open(version1)]
    expect(newer.config).toEqual(legacy.config)
    expect(legacy.config).toMatchObject({
      vocabSize: 512,
      hiddenSize: 64,
      intermediateSize: 172,
      numHiddenLayers: 5,
      numAttentionHeads: 8,
      numKeyValueHeads: 4,
      tieWordEmbeddings: true,
    })
    for (const { name, shape } of parameterShapes(legacy.config)) {
      expect(newer.tensor(name)).toEqual(legacy.tensor(name))
      expect(legacy.info(name)).toEqual({ dtype: 'f32', shape })
    }
    expect(() => legacy.tensor('lm_head.weight')).toThrow(/has no tensor "lm_head.weight"/)
    legacy.close()
    newer.close()
  })

  it('begins every text with <s>, which also ends one', () => {
    const source = open()
    expect(source.tokenizer()).toMatchObject({ vocabSize: 512, startOfText: 1, endOfText: 1 })
    source.close()
  })

  it('takes the tokenizer.bin beside it, and says where it looked when there is none', () => {
    const copy = path.join(directory, 'model.bin')
    fs.copyFileSync(model, copy)
    const alone = openModel(copy)
    expect(() => alone.tokenizer()).toThrow(
      /there is no .*tokenizer\.bin; give its tokenizer\.bin with --tokenizer/,
    )
    fs.copyFileSync(tokenizer, path.join(directory, 'tokenizer.bin'))
    expect(alone.tokenizer().vocabSize).toBe(512)
    alone.close()
  })

  it('refuses a tokenizer with more tokens than the model has rows', () => {
    const source = openModel(model, { tokenizer: sharedData('tokenizers/gpt2_encoder.json.gz') })
    expect(() => source.tokenizer()).toThrow(/has 50257 tokens, but the model's vocab_size is 512/)
    source.close()
  })

  it.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length - 4), 'LLAMA2C_TRUNCATED'],
    ['with bytes to spare', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(4)]), 'LLAMA2C_INVALID'],
    ['with an impossible shape', (bytes: Buffer) => changed(bytes, 12, 7), 'LLAMA2C_INVALID'],
    ['with a shape beyond counting', (bytes: Buffer) => changed(bytes, 0, 2 ** 31 - 2), 'LLAMA2C_INVALID'],
    ['of version 2', (bytes: Buffer) => changed(changed(bytes, 0, 0x616b3432), 4, 2), 'LLAMA2C_INVALID'],
    ['empty', () => Buffer.alloc(0), 'LLAMA2C_TRUNCATED'],
  ])('%s it is refused', (_, damage, code) => {
    const file = path.join(directory, 'damaged.bin')
    fs.writeFileSync(file, damage(fs.readFileSync(model)))
    expect(() => openModel(file)).toThrow(expect.objectContaining({ code }))
  })
})

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeInt32LE(value, at)
  return copy
}
