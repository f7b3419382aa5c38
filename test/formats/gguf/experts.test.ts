// Mixtures of experts in GGUF: one tensor for all experts of a layer, gate and up in one, or, as in files of early 2024, a
// tensor for each expert; each expert is read alone.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openModel, writeGguf } from '../../../src/formats/index.js'
import { decodeStored, encodeStored, type StoredDtype } from '../../../src/formats/stored.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { parameterShapes } from '../../../src/nn/parameters.js'
import { product, temporaryDirectory } from '../tiny-model.js'
import { type RawTensor, type RawValue, rawGguf } from './raw-gguf.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))

const config: ModelConfig = {
  vocabSize: 3,
  hiddenSize: 4,
  intermediateSize: 6,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
  numKeyValueHeads: 1,
  maxPositionEmbeddings: 16,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: true,
  ffn: 'gated',
  activation: 'silu',
  experts: { count: 3, perToken: 2, normalized: true },
}
const [d, h, count] = [4, 6, 3]

/** Value i of the matrix `kind` of an expert. */
const value = (kind: string, expert: number, i: number) => kind.length * 1000 + expert * 100 + i

function matrix(kind: string, expert: number): number[] {
  return Array.from({ length: d * h }, (_, i) => value(kind, expert, i))
}

/** A file of the architecture `llama` with these experts: each tensor with its dimensions, fastest first, and values. */
function fileWith(
  name: string,
  experts: Record<string, [dims: number[], values: number[]]>,
  more: [string, RawValue][] = [],
): string {
  const number = (of: number): RawValue => ({ type: 'u32', value: of })
  const square = Array.from({ length: d * d }, (_, i) => i)
  const all: Record<string, [number[], number[]]> = {
    'token_embd.weight': [[d, 3], Array(12).fill(1)],
    'blk.0.attn_norm.weight': [[d], Array(d).fill(1)],
    'blk.0.attn_q.weight': [[d, d], square],
    'blk.0.attn_k.weight': [[d, d], square],
    'blk.0.attn_v.weight': [[d, d], square],
    'blk.0.attn_output.weight': [[d, d], square],
    'blk.0.ffn_norm.weight': [[d], Array(d).fill(1)],
    'blk.0.ffn_gate_inp.weight': [[d, count], Array.from({ length: d * count }, (_, i) => -i)],
    'output_norm.weight': [[d], Array(d).fill(1)],
    ...experts,
  }
  const tensors: RawTensor[] = []
  const parts: Buffer[] = []
  let offset = 0
  for (const [tensor, [dims, values]] of Object.entries(all)) {
    tensors.push({ name: tensor, dims, type: 0, offset })
    const bytes = Buffer.from(Float32Array.from(values).buffer)
    const padded = Buffer.alloc(Math.ceil(bytes.length / 32) * 32)
    bytes.copy(padded)
    parts.push(padded)
    offset += padded.length
  }
  const file = path.join(root, name)
  fs.writeFileSync(
    file,
    rawGguf({
      values: [
        ['general.architecture', { type: 'string', value: 'llama' }],
        ['llama.context_length', number(16)],
        ['llama.embedding_length', number(d)],
        ['llama.block_count', number(1)],
        ['llama.feed_forward_length', number(h)],
        ['llama.attention.head_count', number(1)],
        ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
        ['llama.expert_count', number(count)],
        ['llama.expert_used_count', number(2)],
        ['tokenizer.ggml.model', { type: 'string', value: 'none' }],
        ...more,
      ],
      tensors,
      data: Buffer.concat(parts),
    }),
  )
  return file
}

const kinds = { gate: [d, h], up: [d, h], down: [h, d] } as const
const each = Array.from({ length: count }, (_, expert) => expert)
const merged = (kind: keyof typeof kinds): [number[], number[]] => [
  [...kinds[kind], count],
  each.flatMap(expert => matrix(kind, expert)),
]

describe('experts in GGUF', () => {
  const layouts: Record<string, Record<string, [number[], number[]]>> = {
    'one tensor for all experts': {
      'blk.0.ffn_gate_exps.weight': merged('gate'),
      'blk.0.ffn_up_exps.weight': merged('up'),
      'blk.0.ffn_down_exps.weight': merged('down'),
    },
    'gate and up in one tensor': {
      'blk.0.ffn_gate_up_exps.weight': [
        [d, 2 * h, count],
        each.flatMap(expert => [...matrix('gate', expert), ...matrix('up', expert)]),
      ],
      'blk.0.ffn_down_exps.weight': merged('down'),
    },
    'a tensor for each expert': Object.fromEntries(
      each.flatMap(expert =>
        (['gate', 'up', 'down'] as const).map(kind => [
          `blk.0.ffn_${kind}.${expert}.weight`,
          [[...kinds[kind]], matrix(kind, expert)],
        ]),
      ),
    ),
  }

  it.each(Object.entries(layouts))('are read from %s', (name, experts) => {
    const source = openModel(fileWith(`${name}.gguf`, experts))
    expect(source.config).toEqual(config)
    for (const expert of each) {
      for (const kind of ['gate', 'up', 'down'] as const) {
        const tensor = source.tensor(`model.layers.0.mlp.experts.${expert}.${kind}_proj.weight`)
        expect([...tensor]).toEqual(matrix(kind, expert))
      }
    }
    source.close()
  })

  it('of another number are refused with the tensor and both shapes', () => {
    const file = fileWith('wrong.gguf', {
      ...layouts['one tensor for all experts'],
      'blk.0.ffn_up_exps.weight': [[d, h, 2], each.slice(1).flatMap(expert => matrix('up', expert))],
    })
    expect(() => openModel(file)).toThrow(
      expect.objectContaining({
        code: 'TENSOR_SHAPE',
        message: expect.stringMatching(/ffn_up_exps.*\[3, 6, 4\].*\[2, 6, 4\]/),
      }),
    )
  })

  it('are written with the blocks that each has alone, and the router as f32', () => {
    const wide = {
      ...config,
      hiddenSize: 256,
      intermediateSize: 512,
      numAttentionHeads: 4,
      numKeyValueHeads: 4,
    }
    const shapes = new Map(parameterShapes(wide).map(({ name, shape }) => [name, shape]))
    const tensor = (name: string) =>
      Float32Array.from({ length: product(shapes.get(name) ?? []) }, (_, i) =>
        Math.sin(i * (1 + name.length / 7)),
      )
    for (const dtype of ['q8_0', 'q4_k_m'] as const) {
      const file = path.join(root, `${dtype}.gguf`)
      writeGguf(file, { config: wide, tokenizer: null, dtype, tensor })
      const source = openModel(file)
      const check = (name: string, type: StoredDtype) => {
        expect(source.info(name).dtype, name).toBe(type)
        const expected =
          type === 'f32' ? tensor(name) : decodeStored(type, encodeStored(type as 'q8_0', tensor(name)))
        expect(source.tensor(name), name).toEqual(expected)
      }
      check('model.layers.0.mlp.gate.weight', 'f32')
      for (const expert of each) {
        check(`model.layers.0.mlp.experts.${expert}.gate_proj.weight`, dtype === 'q8_0' ? 'q8_0' : 'q4_k')
        // The last layer's down projections have more bits.
        check(`model.layers.0.mlp.experts.${expert}.down_proj.weight`, dtype === 'q8_0' ? 'q8_0' : 'q6_k')
      }
      source.close()
    }
  })

  it('with another gating function are refused', () => {
    const file = fileWith('sigmoid.gguf', layouts['one tensor for all experts'], [
      ['llama.expert_gating_func', { type: 'u32', value: 2 }],
    ])
    expect(() => openModel(file)).toThrow(
      expect.objectContaining({
        code: 'GGUF_INVALID',
        message: expect.stringContaining('expert_gating_func'),
      }),
    )
  })
})
