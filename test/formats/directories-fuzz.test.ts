// Damaged directories, by the thousand: config.json of every architecture, the files beside the weights, the index of shards,
// cuts, predictors, training state. Each either opens and reads, or is an error of ours with a code.

import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { describedModel } from '../../src/formats/huggingface/config.js'
import { writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { openModel, readPredictor, readTrainingState, writePredictor } from '../../src/formats/index.js'
import { writeSafetensors } from '../../src/formats/safetensors.js'
import { writeTrainingCheckpoint } from '../../src/formats/training-state.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { edits, jsonDamage } from './damage.js'
import { survives, survivesReading } from './damaged-models.js'
import { FUZZ_TIMEOUT, mutants, withinLimits } from './fuzz-runs.js'
import {
  contentOf,
  contentOfStep,
  temporaryDirectory,
  tinyConfig,
  trainedTensors,
  variedTensors,
} from './tiny-model.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
/** More than all files of one of these models. */
const SIZE = 20_000
const reads = (model: string) => withinLimits(() => survivesReading(model, SIZE), SIZE)

describe('a Hugging Face directory', () => {
  it(
    'survives any edit of its config.json, and any values of its fields',
    () => {
      const model = path.join(directory, 'model')
      writeCheckpoint(model, contentOf(tinyConfig))
      const file = path.join(model, 'config.json')
      const original = fs.readFileSync(file)
      const json: object = JSON.parse(original.toString())
      const further = [
        'rope_parameters',
        'layer_types',
        'mlp_bias',
        'sliding_window',
        'partial_rotary_factor',
        'logit_scale',
      ]
      const anything = fc.oneof(
        fc.jsonValue({ maxDepth: 2 }),
        fc.constantFrom(
          { full_attention: { rope_type: 'linear', factor: 2 } },
          { rope_type: 'llama3', factor: 'x' },
          { rope_type: 'longrope', short_factor: [1, 1], long_factor: [2, 2], factor: 1e30 },
          { full_attention: [1] },
          ['sliding_attention'],
        ),
        fc.constantFrom(-1, 0.5, 2 ** 31, 1e308, 'silu', 'fatrelu', 'llama', ['Qwen2ForCausalLM']),
      )
      fc.assert(
        fc.property(edits(original.length), edit => {
          fs.writeFileSync(file, edit(original))
          reads(model)
        }),
        mutants(150),
      )
      const fields = fc.constantFrom(...Object.keys(json), ...further)
      fc.assert(
        fc.property(fc.dictionary(fields, anything, { minKeys: 1, maxKeys: 3 }), changes => {
          fs.writeFileSync(file, JSON.stringify({ ...json, ...changes }))
          reads(model)
        }),
        mutants(200),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'survives any values in the config.json of any architecture',
    () => {
      const fixtures = path.join(import.meta.dirname, '../fixtures/transformers')
      const configs = fs
        .readdirSync(fixtures)
        .filter(name => name.endsWith('.json'))
        .map((name): object => JSON.parse(fs.readFileSync(path.join(fixtures, name), 'utf8')).config)
      expect(configs.length).toBeGreaterThan(25)
      const damaged = fc.constantFrom(...configs).chain(jsonDamage)
      fc.assert(
        fc.property(damaged, content => {
          withinLimits(() => survives(() => void describedModel(content, 'config.json')))
        }),
        mutants(300),
      )
    },
    FUZZ_TIMEOUT,
  )

  it.each(['generation_config.json', 'tokenizer_config.json'])(
    '%s beside it survives any content',
    name => {
      const model = path.join(directory, `beside-${name}`)
      writeCheckpoint(model, contentOf(tinyConfig))
      const file = path.join(model, name)
      const known = fc.constantFrom(
        'eos_token_id',
        'bos_token',
        'eos_token',
        'chat_template',
        'added_tokens_decoder',
        'add_bos_token',
      )
      const anything = fc.oneof(
        fc.jsonValue({ maxDepth: 3 }),
        fc.constantFrom(
          [{ name: 'default', template: 'x' }],
          { 5: { content: 'x' } },
          { x: {} },
          [[1]],
          -1,
          2 ** 60,
        ),
      )
      fc.assert(
        fc.property(fc.oneof(fc.dictionary(known, anything), fc.jsonValue()), content => {
          fs.writeFileSync(file, JSON.stringify(content))
          reads(model)
        }),
        mutants(150),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'in shards survives any edit of its index, and any values in it',
    () => {
      const model = path.join(directory, 'shards')
      fs.mkdirSync(model)
      const whole = path.join(directory, 'whole')
      writeCheckpoint(whole, contentOf(tinyConfig))
      fs.copyFileSync(path.join(whole, 'config.json'), path.join(model, 'config.json'))
      const tensors = variedTensors(tinyConfig)
      const shards = [tensors.slice(0, 4), tensors.slice(4)]
      const names = shards.map((_, i) => `model-0000${i + 1}-of-00002.safetensors`)
      for (const [i, part] of shards.entries()) writeSafetensors(path.join(model, names[i]), part, part)
      const weight_map = Object.fromEntries(
        shards.flatMap((part, i) => part.map(({ name }) => [name, names[i]])),
      )
      const index = { metadata: { total_size: 1234 }, weight_map }
      const file = path.join(model, 'model.safetensors.index.json')
      const original = Buffer.from(JSON.stringify(index))
      fs.writeFileSync(file, original)
      const source = openModel(model)
      expect(source.names).toHaveLength(tensors.length)
      source.close()
      const damaged = fc.oneof(
        edits(original.length).map(edit => edit(original)),
        jsonDamage(index).map(content => Buffer.from(JSON.stringify(content) ?? '')),
      )
      fc.assert(
        fc.property(damaged, content => {
          fs.writeFileSync(file, content)
          reads(model)
        }),
        mutants(200),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'with quantized weights survives any quantization_config',
    () => {
      const model = path.join(directory, 'quantized')
      writeCheckpoint(model, contentOf(tinyConfig))
      const file = path.join(model, 'config.json')
      const json: object = JSON.parse(fs.readFileSync(file, 'utf8'))
      const fp8 = {
        quant_method: 'fp8',
        fmt: 'e4m3',
        activation_scheme: 'dynamic',
        weight_block_size: [128, 128],
        modules_to_not_convert: ['lm_head'],
      }
      fc.assert(
        fc.property(jsonDamage(fp8), quantization_config => {
          fs.writeFileSync(file, JSON.stringify({ ...json, quantization_config }))
          reads(model)
        }),
        mutants(150),
      )
    },
    FUZZ_TIMEOUT,
  )
})

describe('what a directory of ours has beside its weights', () => {
  it(
    'cuts survive any edit, and any values of flicker in config.json',
    () => {
      const model = path.join(directory, 'cut')
      const { hiddenSize: d, intermediateSize: h } = tinyConfig
      const ones = (n: number) => new Float32Array(n).fill(1)
      const identity = Float32Array.from({ length: d * d }, (_, i) => (i % (d + 1) === 0 ? 1 : 0))
      const sparsity = {
        approximate: true,
        method: 'teal',
        level: 0.5,
        calibration: { sha256: '00', tokens: 7 },
      }
      writeCheckpoint(
        model,
        contentOf(tinyConfig, {
          flicker: { sparsity },
          cuts: [
            {
              neurons: { kind: 'threshold', limits: ones(h) },
              inputs: {
                q: { kind: 'top', keep: 3, scale: ones(d) },
                gate: { kind: 'threshold', limits: ones(1) },
              },
              lowRank: { gate: { rank: 1, into: ones(d), out: ones(h) } },
              rotations: { attention: identity, ffn: identity },
            },
          ],
        }),
      )
      const file = path.join(model, 'config.json')
      const json = JSON.parse(fs.readFileSync(file, 'utf8'))
      const cuts = path.join(model, 'cuts.safetensors')
      const source = openModel(model)
      expect(source.cuts?.()).toHaveLength(1)
      source.close()
      const original = fs.readFileSync(cuts)
      const { flicker } = json
      fc.assert(
        fc.property(
          fc.oneof(fc.constant(flicker), jsonDamage(flicker)),
          edits(original.length),
          fc.boolean(),
          (ours, edit, damagesCuts) => {
            fs.writeFileSync(file, JSON.stringify({ ...json, flicker: ours }))
            fs.writeFileSync(cuts, damagesCuts ? edit(original) : original)
            reads(model)
          },
        ),
        mutants(200),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'a predictor survives any edit',
    () => {
      const file = path.join(directory, 'predictor.safetensors')
      const [rank, d, h] = [2, 4, 6]
      const layer = {
        into: new Float32Array(rank * d).fill(1),
        out: new Float32Array(h * rank).fill(2),
        bias: new Float32Array(h).fill(3),
      }
      writePredictor(file, { rank, layers: [layer, layer] })
      const original = fs.readFileSync(file)
      expect(readPredictor(file).layers).toHaveLength(2)
      fc.assert(
        fc.property(edits(original.length), edit => {
          const damaged = edit(original)
          fs.writeFileSync(file, damaged)
          withinLimits(() => survives(() => void readPredictor(file)), damaged.length)
        }),
        mutants(200),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'training state survives any edit of the optimizer and any values of the state',
    () => {
      const model = path.join(directory, 'checkpoint-3')
      writeTrainingCheckpoint(model, contentOfStep(3))
      const specs = parameterShapes(tinyConfig).slice(0, trainedTensors)
      const schema = z.object({ step: z.number() })
      const read = () => {
        const state = readTrainingState(model, schema, specs)
        try {
          for (const { name } of specs) state.moments(name)
        } finally {
          state.close()
        }
      }
      read()
      const files = ['optimizer.safetensors', 'trainer_state.json'].map(name => path.join(model, name))
      const originals = files.map(file => fs.readFileSync(file))
      fc.assert(
        fc.property(fc.nat(1), fc.nat(), edits(400), (which, _, edit) => {
          for (const [i, file] of files.entries()) {
            fs.writeFileSync(file, i === which ? edit(originals[i]) : originals[i])
          }
          withinLimits(() => survives(read), SIZE)
        }),
        mutants(200),
      )
    },
    FUZZ_TIMEOUT,
  )
})

it('a tokenizer.json beside the weights is read with them', () => {
  const model = path.join(directory, 'with-tokenizer')
  const tokenizer = bytesTokenizer()
  writeCheckpoint(
    model,
    contentOf({ ...tinyConfig, vocabSize: tokenizer.vocabSize }, { tokenizer: tokenizer.toJSON() }),
  )
  const source = openModel(model)
  expect(source.tokenizer().vocabSize).toBe(tokenizer.vocabSize)
  source.close()
})
