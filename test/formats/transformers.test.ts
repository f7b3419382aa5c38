// Every architecture held to transformers: tiny random models whose logits bench/peers/hf_tiny_models.py has stored, made here
// again from the names and shapes of their tensors, read as a Hugging Face directory and run by the engine; then written as
// directory and as GGUF and read back.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { EngineModel } from '../../src/engine/engine-model.js'
import { readCheckpoint, writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { type ModelSource, openModel, writeGguf } from '../../src/formats/index.js'
import { type NamedTensor, writeSafetensors } from '../../src/formats/safetensors.js'
import { product, temporaryDirectory } from './tiny-model.js'

interface Fixture {
  readonly config: Record<string, unknown>
  readonly tensors: Readonly<Record<string, { shape: number[]; base: number; scale: number }>>
  readonly tokens: number[]
  readonly positions: number[]
  readonly logits: number[][]
  /** The most likely token after each. */
  readonly greedy: number[]
}

const fixtures = path.join(import.meta.dirname, '../fixtures/transformers')
const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))

function fixtureOf(name: string): Fixture {
  return JSON.parse(fs.readFileSync(path.join(fixtures, `${name}.json`), 'utf8'))
}

function fnv1a(text: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0
  return value
}

/** The values that the script gives a tensor; both sides are exact in f32. */
function valuesOf(name: string, { shape, base, scale }: Fixture['tensors'][string]): Float32Array {
  const seed = fnv1a(name)
  return Float32Array.from({ length: product(shape) }, (_, i) => {
    let value = (Math.imul(i, 0x9e3779b1) + seed) >>> 0
    value ^= value >>> 16
    value = Math.imul(value, 0x85ebca6b)
    value ^= value >>> 13
    value = Math.imul(value, 0xc2b2ae35)
    value ^= value >>> 16
    return base + scale * ((value >>> 8) / 2 ** 24 - 0.5)
  })
}

let made = 0
function directoryOf({ config, tensors }: Fixture): string {
  const dir = path.join(root, `model-${made++}`)
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config))
  const named = Object.entries(tensors).map(
    ([name, of]): NamedTensor => ({ name, shape: of.shape, data: valuesOf(name, of) }),
  )
  writeSafetensors(path.join(dir, 'model.safetensors'), named, named)
  return dir
}

/** Rounding of f32 in sums of some dozens of terms through a few layers. */
const TOLERANCE = 2e-5

function expectLogits(source: ModelSource, { tokens, positions, logits, greedy }: Fixture): void {
  const { config } = source
  const engine = new EngineModel(config, source)
  const all = engine.logits(tokens)
  const largest = Math.max(...logits.flat().map(Math.abs))
  for (const [i, position] of positions.entries()) {
    const ours = all.subarray(position * config.vocabSize, (position + 1) * config.vocabSize)
    const worst = Math.max(...logits[i].map((theirs, k) => Math.abs(theirs - ours[k])))
    expect(worst / largest, `position ${position}`).toBeLessThan(TOLERANCE)
  }
  expect(
    tokens.map((_, t) => {
      const row = all.subarray(t * config.vocabSize, (t + 1) * config.vocabSize)
      return row.indexOf(row.reduce((a, b) => Math.max(a, b)))
    }),
  ).toEqual(greedy)
  // Token by token, through windows and caches, the last row comes out with the same bits.
  const session = engine.session()
  session.prefill(tokens.slice(0, 9))
  let last = new Float32Array(0)
  for (const token of tokens.slice(9)) last = Float32Array.from(session.step(token))
  expect(last).toEqual(all.slice((tokens.length - 1) * config.vocabSize))
  engine.dispose()
}

/** Each model, the architecture that GGUF names it by, and what config.json says when it is written again. */
const MODELS = [
  ['llama', 'llama', 'LlamaForCausalLM'],
  ['llama-yarn', 'llama', 'LlamaForCausalLM'],
  ['llama-linear', 'flicker', 'LlamaForCausalLM'],
  ['mistral-window', 'flicker', 'MistralForCausalLM'],
  ['qwen2', 'qwen2', 'Qwen2ForCausalLM'],
  ['qwen2-window', 'flicker', 'Qwen2ForCausalLM'],
  ['qwen3', 'qwen3', 'Qwen3ForCausalLM'],
  ['gemma', 'gemma', 'GemmaForCausalLM'],
  ['gemma2', 'flicker', 'Gemma2ForCausalLM'],
  ['gemma3', 'flicker', 'Gemma3ForCausalLM'],
  ['phi3', 'llama', 'LlamaForCausalLM'],
  ['phi3-window', 'flicker', 'MistralForCausalLM'],
  ['phi4-short', 'phi3', 'Phi3ForCausalLM'],
  ['phi4-long', 'phi3', 'Phi3ForCausalLM'],
  ['smollm3', 'smollm3', 'SmolLM3ForCausalLM'],
  ['arcee', 'arcee', 'ArceeForCausalLM'],
  ['opt', 'flicker', 'OPTForCausalLM'],
  ['olmo2', 'olmo2', 'Olmo2ForCausalLM'],
  ['olmo3', 'olmo2', 'Olmo3ForCausalLM'],
  ['granite', 'granite', 'GraniteForCausalLM'],
  ['starcoder2', 'starcoder2', 'Starcoder2ForCausalLM'],
  ['gpt2', 'gpt2', 'GPT2LMHeadModel'],
  ['gpt_neox', 'gptneox', 'GPTNeoXForCausalLM'],
  ['gpt_neox-sequential', 'gptneox', 'GPTNeoXForCausalLM'],
  ['falcon-7b', 'falcon', 'FalconForCausalLM'],
  ['falcon-relu', 'flicker', 'FalconForCausalLM'],
  ['falcon-40b', 'falcon', 'FalconForCausalLM'],
  ['falcon-sequential', 'gptneox', 'Starcoder2ForCausalLM'],
  ['nemotron', 'nemotron', 'NemotronForCausalLM'],
  ['stablelm', 'stablelm', 'StableLmForCausalLM'],
  ['stablelm-parallel', 'stablelm', 'StableLmForCausalLM'],
  ['phi', 'phi2', 'PhiForCausalLM'],
  ['mixtral', 'llama', 'MixtralForCausalLM'],
  ['qwen3_moe', 'qwen3moe', 'Qwen3MoeForCausalLM'],
  ['olmoe', 'flicker', 'OlmoeForCausalLM'],
] as const

describe.each(MODELS)('%s', (name, architecture, written) => {
  const fixture = fixtureOf(name)

  it('has the logits of transformers', () => {
    const source = readCheckpoint(directoryOf(fixture))
    expectLogits(source, fixture)
    source.close()
  })

  it(`comes back from a Hugging Face directory (${written})`, () => {
    const source = readCheckpoint(directoryOf(fixture))
    const dir = path.join(root, `written-${name}`)
    const tensors = source.names.map(of => ({
      name: of,
      shape: source.info(of).shape,
      data: source.tensor(of),
    }))
    writeCheckpoint(dir, { config: source.config, tensors })
    const again = readCheckpoint(dir)
    const json = JSON.parse(fs.readFileSync(path.join(dir, 'config.json'), 'utf8'))
    expect(json.architectures).toEqual([written])
    expect(again.config).toEqual(source.config)
    for (const of of source.names) expect(again.tensor(of)).toEqual(source.tensor(of))
    again.close()
    source.close()
  })

  it(`comes back from a GGUF file (${architecture})`, () => {
    const source = readCheckpoint(directoryOf(fixture))
    const file = path.join(root, `${name}.gguf`)
    const tensor = (of: string) => source.tensor(of)
    const result = writeGguf(file, { config: source.config, tokenizer: null, dtype: 'f32', tensor })
    expect(result.architecture).toBe(architecture)
    const again = openModel(file)
    expectLogits(again, fixture)
    again.close()
    source.close()
  })
})
