// The weights of a checkpoint directory: tensors that do not fit, and shards.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { readCheckpoint } from '../../src/formats/huggingface/index.js'
import { writeSafetensors } from '../../src/formats/safetensors.js'
import { refusal, written } from './checkpoint-directory.js'
import { product, tinyConfig, variedTensors } from './tiny-model.js'

describe('weights that do not fit are refused by the tensor', () => {
  function withTensors(
    change: (tensors: ReturnType<typeof variedTensors>) => ReturnType<typeof variedTensors>,
  ) {
    const dir = written(tinyConfig)
    const file = path.join(dir, 'model.safetensors')
    const tensors = change(variedTensors(tinyConfig))
    fs.rmSync(file)
    writeSafetensors(file, tensors, tensors)
    return dir
  }
  const further = (name: string, shape = [2]) => ({ name, shape, data: new Float32Array(product(shape)) })

  it('missing', () => {
    const dir = withTensors(tensors => tensors.filter(({ name }) => !name.includes('up_proj')))
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('TENSOR_MISSING')
    expect(error.message).toMatch(/"model\.layers\.0\.mlp\.up_proj\.weight" of shape \[12, 8\] is missing/)
  })

  it('wrongly shaped', () => {
    const dir = withTensors(tensors =>
      tensors.map(t => (t.name.includes('up_proj') ? { ...t, shape: [8, 12] } : t)),
    )
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('TENSOR_SHAPE')
    expect(error.message).toMatch(/up_proj\.weight" must have shape \[12, 8\], but in .* it is \[8, 12\]/)
  })

  it('truncated', () => {
    const dir = written(tinyConfig)
    const file = path.join(dir, 'model.safetensors')
    fs.truncateSync(file, fs.statSync(file).size - 100)
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('SAFETENSORS_TRUNCATED')
    expect(error.message).toContain(file)
  })

  it('absent', () => {
    const dir = written(tinyConfig)
    fs.rmSync(path.join(dir, 'model.safetensors'))
    expect(refusal(() => readCheckpoint(dir)).message).toMatch(/model\.safetensors is missing/)
  })

  it('unknown, but for those that config.json already fixes', () => {
    const dir = withTensors(tensors => [...tensors, further('model.layers.1.mlp.up_proj.weight')])
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('TENSOR_UNKNOWN')
    expect(error.message).toMatch(/"model\.layers\.1\.mlp\.up_proj\.weight" do not belong/)
    const ignorable = withTensors(tensors => [
      ...tensors,
      further('model.layers.0.self_attn.rotary_emb.inv_freq'),
      further('model.layers.0.self_attn.rotary_emb.cos_cached'),
      further('model.layers.0.self_attn.rotary_emb.sin_cached'),
      further('model.rotary_emb.inv_freq'),
      further('lm_head.weight', [11, 8]),
    ])
    readCheckpoint(ignorable).close()
  })
})

describe('shards', () => {
  /** The tiny model in two shards, with these names more in the index. */
  function sharded(more: string[]): string {
    const dir = written(tinyConfig)
    fs.rmSync(path.join(dir, 'model.safetensors'))
    const tensors = variedTensors(tinyConfig)
    const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    const parts = [tensors.slice(0, 4), tensors.slice(4)]
    for (const [i, part] of parts.entries()) writeSafetensors(path.join(dir, files[i]), part, part)
    const weight_map = Object.fromEntries([
      ...parts.flatMap((part, i) => part.map(({ name }) => [name, files[i]])),
      ...more.map(name => [name, files[0]]),
    ])
    fs.writeFileSync(path.join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map }))
    return dir
  }

  it('may lack rotary tables that the index still names', () => {
    const checkpoint = readCheckpoint(sharded(['model.layers.0.self_attn.rotary_emb.inv_freq']))
    for (const { name, data } of variedTensors(tinyConfig)) expect(checkpoint.tensor(name)).toEqual(data)
    checkpoint.close()
  })

  it('may lack nothing else', () => {
    const error = refusal(() => readCheckpoint(sharded(['model.layers.1.mlp.up_proj.weight'])))
    expect(error.code).toBe('TENSOR_MISSING')
    expect(error.message).toMatch(/model-00001-of-00002\.safetensors has no tensor "model\.layers\.1/)
  })

  it('are not the pickles of PyTorch, which are named', () => {
    const dir = written(tinyConfig)
    fs.renameSync(path.join(dir, 'model.safetensors'), path.join(dir, 'pytorch_model.bin'))
    expect(refusal(() => readCheckpoint(dir)).message).toMatch(/pytorch_model\.bin beside it is a pickle/)
  })
})
