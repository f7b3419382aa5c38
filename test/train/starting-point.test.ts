// Runs that start from a checkpoint: its own loss at step 0, its bits after 0 steps, what is trained and what stays, the
// memory that training takes, and checkpoints and options that do not fit.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { trainBpe } from '../../src/data/tokenizers/train-byte-pair.js'
import { load } from '../../src/engine/index.js'
import { convertModel, latestRunCheckpoint, openModel, writeCheckpoint } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { Llama } from '../../src/nn/llama.js'
import { type TrainRun, train } from '../../src/train/index.js'
import { trainingMemory } from '../../src/train/memory.js'
import { TrainingStep } from '../../src/train/step.js'
import { temporaryDirectory, tinyData, tinyRun } from './tiny-run.js'

/** A SiLU model of a few steps, to start from. */
async function checkpoint(extra: Partial<TrainRun> = {}): Promise<string> {
  const directory = temporaryDirectory()
  const run = tinyRun(directory, { strategy: { strategy: 'scratch', activation: 'silu' }, ...extra })
  return (await train(run)).checkpoint
}

function continued(from: string, extra: Partial<TrainRun> = {}): TrainRun {
  const { model: _, ...run } = tinyRun(temporaryDirectory(), {
    strategy: { strategy: 'relufy' },
    onNotice: () => {},
    ...extra,
  })
  return { ...run, from }
}

const tensors = (directory: string) => {
  const source = openModel(directory)
  const all = new Map(source.names.map(name => [name, source.tensor(name)]))
  source.close()
  return all
}

describe('a run that starts from a checkpoint', () => {
  it('has the loss of the checkpoint at step 0, with the activation of the checkpoint', async () => {
    const silu = tinyRun(temporaryDirectory(), { strategy: { strategy: 'scratch', activation: 'silu' } })
    const before = await train(silu)
    const { evaluations, inference, model } = await train(continued(before.checkpoint))
    const own = before.evaluations[before.evaluations.length - 1]
    expect(evaluations[0]).toEqual({ ...own, step: 0 })
    expect(evaluations[evaluations.length - 1].activation).toBe('relu')
    expect(inference.spec).toBe('relu')
    expect(model.config.activation).toBe('relu')
  })

  it('has the loss that the engine gives, read from GGUF and stored as bf16', async () => {
    const file = path.join(temporaryDirectory(), 'model.gguf')
    await convertModel(await checkpoint(), file, { to: 'gguf', dtype: 'bf16' })
    const data = tinyData()
    const context = 16
    // One window, so that the mean over tokens is easy to take.
    const short = { ...data, validation: data.validation.slice(0, context + 1) }
    const { evaluations } = await train(
      continued(file, { data: short, training: { steps: 0, batchSize: 1, context, evalTokens: context } }),
    )
    const model = await load(file, { dtype: 'f32' })
    const tokens = [...short.validation]
    let nats = 0
    for (let i = 1; i <= context; i++) {
      const { tokens: next } = await model.complete(tokens.slice(0, i), {
        maxTokens: 1,
        ignoreEos: true,
        topLogprobs: model.tokenizer.vocabSize,
      })
      nats -= next[0].topLogprobs?.find(({ id }) => id === tokens[i])?.logprob ?? Number.NaN
    }
    model.dispose()
    expect(Math.abs(evaluations[0].loss - nats / context)).toBeLessThan(1e-4)
  })

  it('of 0 steps is the checkpoint, bit for bit', async () => {
    const from = await checkpoint()
    const run = continued(from, {
      strategy: { strategy: 'scratch' } as never,
      training: { steps: 0, context: 16 },
    })
    const { checkpoint: to } = await train(run)
    const bytes = (directory: string, name: string) => fs.readFileSync(path.join(directory, name))
    for (const name of ['model.safetensors', 'tokenizer.json', 'tokenizer_config.json']) {
      expect(bytes(to, name).equals(bytes(from, name)), name).toBe(true)
    }
    const { flicker: _, ...config } = JSON.parse(bytes(to, 'config.json').toString())
    const { flicker: __, ...original } = JSON.parse(bytes(from, 'config.json').toString())
    expect(config).toEqual(original)
    expect((await train(run)).checkpoint).toBe(to)
  })

  it.each([
    ['ffn', (name: string) => name.includes('.mlp.')],
    ['gate', (name: string) => name.includes('.mlp.gate_proj.')],
  ] as const)('trains the %s alone, and resumes with the same bits', async (trainable, changes) => {
    const from = await checkpoint()
    const training = { ...tinyRun('.').training, trainable }
    const { checkpoint: whole } = await train(continued(from, { training }))
    const before = tensors(from)
    for (const [name, values] of tensors(whole)) {
      expect(values.join() === before.get(name)?.join(), name).toBe(!changes(name))
    }
    const controller = new AbortController()
    const onProgress = ({ step }: { step: number }) => {
      if (step === 9) controller.abort()
    }
    const parts = continued(from, { training })
    const stopped = train({ ...parts, signal: controller.signal, onProgress })
    await expect(stopped).rejects.toMatchObject({ code: 'INTERRUPTED' })
    // What it started from is not needed any more.
    fs.rmSync(from, { recursive: true })
    const { checkpoint: again, evaluations } = await train(parts)
    const files = [whole, again].map(dir => fs.readFileSync(path.join(dir, 'model.safetensors')))
    expect(files[0].equals(files[1])).toBe(true)
    expect(evaluations.filter(({ step }) => step === 0)).toHaveLength(1)
  })

  it('with both sides becomes a dReLU model', async () => {
    const { model, evaluations } = await train(
      continued(await checkpoint(), { strategy: { strategy: 'relufy', sides: 'both' } }),
    )
    expect(model.config.ffn).toBe('drelu')
    const zeros = evaluations[evaluations.length - 1].sparsity
    // Each side alone gives about half.
    expect(Math.min(...zeros)).toBeGreaterThan(0.6)
  })

  it('continues with top-k, and a Spark model as the Spark model that it is', async () => {
    const k = 0.25
    const topk = await train(
      continued(await checkpoint(), { strategy: { strategy: 'relufy', to: `topk:k=${k}` } }),
    )
    const { sparsity } = topk.evaluations[topk.evaluations.length - 1]
    // Of 40 neurons the 10 largest stay, where they are above 0.
    for (const zeros of sparsity) expect(zeros).toBeGreaterThanOrEqual(1 - k)
    const from = await checkpoint({ model: { ...tinyRun('.').model, ffn: 'spark', sparkPredictorWidth: 6 } })
    const spark = await train(continued(from, { strategy: { strategy: 'relufy', to: 'stat-topk:k=0.2' } }))
    expect(spark.model.config).toMatchObject({ ffn: 'spark', sparkPredictorWidth: 6 })
    const own = spark.evaluations
    expect(own[own.length - 1].loss).toBeLessThan(own[1].loss)
  })

  it('begins with the activation of the checkpoint where a strategy needs one', async () => {
    const from = await checkpoint({ strategy: { strategy: 'scratch', activation: 'gelu' } })
    const { strategy } = await train(continued(from, { strategy: { strategy: 'swift' } }))
    expect(strategy.activationAt(1).name).toBe('gelu')
    expect(strategy.inference.name).toBe('relu')
  })

  it('keeps chat templates and the ends of texts', async () => {
    const from = await checkpoint()
    const source = openModel(from)
    const template = '{{ messages }}'
    const directory = path.join(temporaryDirectory(), 'chat')
    writeCheckpoint(directory, {
      config: source.config,
      tensors: source.names.map(name => ({
        name,
        shape: source.info(name).shape,
        data: source.tensor(name),
      })),
      tokenizer: source.tokenizer().toJSON(),
      chatTemplates: new Map([['default', template]]),
      endOfText: [7],
    })
    source.close()
    const { checkpoint: to } = await train(continued(directory, { training: { steps: 0, context: 16 } }))
    const again = openModel(to)
    expect(again.chatTemplates.get('default')).toBe(template)
    expect(again.endOfText).toContain(7)
    again.close()
  })
})

describe('what does not fit', () => {
  it.each<[string, Partial<TrainRun>, RegExp]>([
    ['a shape', { model: { hiddenSize: 32 } }, /hiddenSize cannot be given with from/],
    // A Spark FFN's matrices have other shapes: no weights of a gated one fit.
    ['another form of FFN', { model: { ffn: 'spark' } }, /ffn cannot be given with from/],
    ['a long context', { training: { context: 64 } }, /context is 64, and .* at most 16 tokens/],
  ])('%s is refused before anything is written', async (_, extra, message) => {
    const run = continued(await checkpoint(), extra)
    const directory = path.join(run.directory, 'new')
    await expect(train({ ...run, directory, ...extra })).rejects.toThrow(message)
    expect(fs.existsSync(directory)).toBe(false)
  })

  it('a tokenizer that gives other ids, or has more of them', async () => {
    const from = await checkpoint()
    const text = 'one two three four five six seven eight nine ten '.repeat(40)
    const more = trainBpe([text], 300)
    const encoded = Uint16Array.from(more.encode(text))
    await expect(
      train(continued(from, { data: { tokenizer: more, train: encoded, validation: encoded } })),
    ).rejects.toMatchObject({ code: 'VOCABULARY_MISMATCH' })
    const shifted = bytesTokenizer()
    const { encode } = shifted
    shifted.encode = text => encode.call(shifted, text).map(id => id ^ 1)
    const data = { ...tinyData(), tokenizer: shifted }
    await expect(train(continued(from, { data }))).rejects.toThrow(
      /tokenized with bytes, which gives other ids than the tokenizer of .*leave out --tokenizer/,
    )
  })

  it('an FFN without gate where the gate is to be trained, or to become dReLU', async () => {
    const from = await checkpoint({ model: { ...tinyRun('.').model, ffn: 'plain' } })
    const training = { ...tinyRun('.').training, trainable: 'gate' as const }
    await expect(train(continued(from, { training }))).rejects.toMatchObject({ code: 'NO_GATE' })
    const strategy = { strategy: 'relufy', sides: 'both' } as const
    await expect(train(continued(from, { strategy }))).rejects.toMatchObject({ code: 'NO_GATE' })
  })

  it('relufy, a part to train and 0 steps without a checkpoint', async () => {
    const { training } = tinyRun('.')
    for (const extra of [
      { strategy: { strategy: 'relufy' } },
      { training: { ...training, trainable: 'ffn' } },
      { training: { ...training, steps: 0 } },
    ] as const) {
      const run = tinyRun(path.join(temporaryDirectory(), 'run'), extra)
      await expect(train(run)).rejects.toMatchObject({ code: 'FROM_MISSING' })
    }
  })

  it('a model that takes more memory than there is, with both numbers', async () => {
    const from = await checkpoint()
    const notices: string[] = []
    await train(continued(from, { onNotice: notice => notices.push(notice) }))
    expect(notices.join()).toMatch(/needs about \d+ MB of memory: 1 MB for the weights/)
    const memory = vi.spyOn(process, 'availableMemory').mockReturnValue(50_000)
    try {
      const run = continued(from)
      await expect(train(run)).rejects.toThrow(/needs about \d MB of memory.*, and 1 MB are available/)
      expect(latestRunCheckpoint(run.directory)).toBeNull()
    } finally {
      memory.mockRestore()
    }
  })
})

describe('the memory of training', () => {
  const base: ModelConfig = {
    vocabSize: 100,
    hiddenSize: 32,
    intermediateSize: 96,
    numHiddenLayers: 3,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    maxPositionEmbeddings: 64,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    tieWordEmbeddings: true,
    ffn: 'gated',
    activation: 'relu',
  }
  it.each<[string, Partial<ModelConfig>]>([
    ['gated', {}],
    ['plain', { ffn: 'plain' }],
    ['a large vocabulary', { vocabSize: 2000 }],
    ['many layers', { numHiddenLayers: 8, numKeyValueHeads: 4 }],
  ])('is what a step takes, to a tenth (%s)', (_, change) => {
    const config = { ...base, ...change }
    const [batchSize, context] = [4, 64]
    const model = Llama.initialize(config, 1)
    const stepper = new TrainingStep(kernels(), model, {
      ...{ beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0, clip: 1, seed: 1 },
    })
    const inputs = Int32Array.from({ length: batchSize * context }, (_, i) => i % 100)
    for (const step of [1, 2]) {
      stepper.run(step, 1e-3, parseActivation('relu'), [{ inputs, targets: inputs, seq: context }])
    }
    const expected = trainingMemory(config, { batchSize, context }, () => true)
    const evaluation = expected.working - expected.step
    expect(Math.abs(expected.step / stepper.workingBytes - 1)).toBeLessThan(0.1)
    expect(evaluation).toBeLessThan(expected.step)
    expect(expected.weights).toBe(4 * model.parameterCount)
    expect(expected.training).toBe(12 * model.parameterCount)
  })
})
