// ReLU Strikes Back: the shift of shifted ReLU from the checkpoint's pre-activations, and ReLU after the norms in training, in
// files and in the engine.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel, load } from '../../src/engine/index.js'
import { convertModel, openModel } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { Tape } from '../../src/tensor/index.js'
import { type StrategyInput, type TrainRun, train } from '../../src/train/index.js'
import { relativeDifference } from '../engine/bits.js'
import { temporaryDirectory, tinyData, tinyRun } from './tiny-run.js'

async function checkpoint(): Promise<string> {
  const run = tinyRun(temporaryDirectory(), { strategy: { strategy: 'scratch', activation: 'silu' } })
  return (await train(run)).checkpoint
}

function continued(from: string, strategy: StrategyInput, extra: Partial<TrainRun> = {}): TrainRun {
  const { model: _, ...run } = tinyRun(temporaryDirectory(), { strategy, onNotice: () => {}, ...extra })
  return { ...run, from }
}

describe('shifted ReLU from a quantile', () => {
  const strategy: StrategyInput = { strategy: 'relufy', to: 'shifted-relu', shiftQuantile: 0.8 }

  it('leaves the asked fraction of the pre-activations of the checkpoint below the shift', async () => {
    const from = await checkpoint()
    const { inference } = await train(continued(from, strategy))
    expect(inference.spec).toMatch(/^shifted-relu:b=-?[\d.e-]+$/)
    const shift = Number(inference.settings.b)
    // By the definition: gate · normed input, from the hidden values of an identity-like activation of the same graph.
    const source = openModel(from)
    const model = Llama.from(source.config, name => source.tensor(name))
    source.close()
    const below: number[] = []
    const { train: tokens } = tinyData()
    const tape = new Tape(kernels(), { training: false })
    for (let start = 0; start + 16 <= 1600; start += 16) {
      tape.reset()
      model.logits(tape, Int32Array.from(tokens.subarray(start, start + 16)), 16, {
        activation: parseActivation('silu'),
        draw: { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, firstRow: 0 },
        onPreActivation: (_, { data }) => below.push(...Array.from(data, value => (value <= shift ? 1 : 0))),
      })
    }
    expect(below).toHaveLength(1600 * 2 * 40)
    expect(Math.abs(below.reduce((a, b) => a + b) / below.length - 0.8)).toBeLessThan(0.02)
  })

  it('is measured once: a run that is resumed keeps its shift', async () => {
    const from = await checkpoint()
    const whole = await train(continued(from, strategy))
    const controller = new AbortController()
    const run = continued(from, strategy)
    const stopped = train({
      ...run,
      signal: controller.signal,
      onProgress: ({ step }) => step === 7 && controller.abort(),
    })
    await expect(stopped).rejects.toThrow(expect.objectContaining({ code: 'INTERRUPTED' }))
    const resumed = await train(run)
    expect(resumed.inference.spec).toBe(whole.inference.spec)
    const file = (of: { checkpoint: string }) =>
      fs.readFileSync(path.join(of.checkpoint, 'model.safetensors'))
    expect(file(resumed).equals(file(whole))).toBe(true)
  })

  it('is refused for another activation, before anything is written', async () => {
    const run = continued(await checkpoint(), { strategy: 'relufy', to: 'relu', shiftQuantile: 0.8 })
    fs.rmSync(run.directory, { recursive: true })
    await expect(train(run)).rejects.toThrow(expect.objectContaining({ code: 'SHIFT_QUANTILE' }))
    expect(fs.existsSync(run.directory)).toBe(false)
  })
})

describe('stage 2', () => {
  it('trains with ReLU after the norms; the checkpoint says so, and runs as trained from both kinds of files', async () => {
    const { model, checkpoint: trained } = await train(
      continued(await checkpoint(), { strategy: 'relufy', stage: 2 }),
    )
    expect(model.config.normActivation).toBe('relu')
    const json = JSON.parse(fs.readFileSync(path.join(trained, 'config.json'), 'utf8'))
    // No other program runs it as another model.
    expect(json.architectures).toEqual(['FlickerForCausalLM'])
    const tokens = Int32Array.from({ length: 16 }, (_, i) => (31 * i + 7) % 128)
    const wanted = model.logits(new Tape(kernels(), { training: false }), tokens, 16, {
      activation: parseActivation('relu'),
      draw: { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, firstRow: 0 },
    }).data
    const file = path.join(temporaryDirectory(), 'model.gguf')
    convertModel(trained, file, { to: 'gguf' })
    for (const from of [trained, file]) {
      expect(relativeDifference((await load(from)).logits(tokens), wanted)).toBeLessThan(1e-5)
    }
    const source = openModel(trained)
    const without = new EngineModel({ ...source.config, normActivation: undefined }, source)
    expect(relativeDifference(without.logits(tokens), wanted)).toBeGreaterThan(1e-2)
    source.close()
  })

  it('lowers the loss that the change has raised', async () => {
    const { evaluations } = await train(continued(await checkpoint(), { strategy: 'relufy', stage: 2 }))
    const losses = evaluations.map(({ loss }) => loss)
    expect(losses[losses.length - 1]).toBeLessThan(losses[1])
  })

  it('is refused where norms come after the branches', async () => {
    const source = openModel(await checkpoint())
    const { checkStart } = await import('../../src/train/starting-point.js')
    const data = tinyData()
    const start = { ...source, config: { ...source.config, normPlacement: 'after' as const } }
    const options = continued('nowhere', { strategy: 'relufy', stage: 2 }) as never
    expect(() => checkStart({ ...start, tokenizer: () => data.tokenizer } as never, options, data)).toThrow(
      expect.objectContaining({ code: 'STAGE_NORMS' }),
    )
    source.close()
  })
})
