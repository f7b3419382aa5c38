// Training runs: they learn, resume bit for bit, do not depend on threads, and stop well when something goes wrong.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { FlickerError } from '../../src/errors.js'
import { latestRunCheckpoint, readCheckpoint } from '../../src/formats/index.js'
import {
  availableKernels,
  defaultThreads,
  type Floats,
  kernels,
  portableKernels,
  setThreads,
} from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { type TrainRun, train } from '../../src/train/index.js'
import { TrainingStep } from '../../src/train/step.js'
import { tinyConfig } from '../formats/tiny-model.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

/** The bits of the final weights. */
function weights(directory: string): Buffer {
  const latest = latestRunCheckpoint(directory)
  return fs.readFileSync(path.join(latest?.dir ?? '', 'model.safetensors'))
}

/** Something that metrics.jsonl has of every step. */
function perStep(directory: string, key: 'loss' | 'gradNorm'): number[] {
  const lines = fs.readFileSync(path.join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n')
  return lines.map(line => JSON.parse(line)).flatMap(line => (line.kind === 'step' ? [line[key]] : []))
}

const losses = (directory: string) => perStep(directory, 'loss')

const portable = portableKernels()

/** To the nearest value of eight significant bits, ties to even, by arithmetic alone. */
function roundedToBf16(values: Floats): Float32Array {
  return Float32Array.from(values, value => {
    // Below 2⁻¹²⁶ there are fewer bits.
    const unit = 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(value)))) - 7)
    if (value === 0) return 0
    const units = value / unit
    const below = Math.floor(units)
    const rest = units - below
    return unit * (rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below)
  })
}

async function interruptAfter(run: TrainRun, step: number): Promise<void> {
  const controller = new AbortController()
  const onProgress = ({ step: at }: { step: number }) => {
    if (at === step - 1) controller.abort()
  }
  await expect(train({ ...run, signal: controller.signal, onProgress })).rejects.toMatchObject({
    code: 'INTERRUPTED',
    exitCode: 130,
  })
}

describe('a training run', () => {
  it('learns: the loss falls well below that of knowing nothing', async () => {
    const run = tinyRun(temporaryDirectory())
    const training = { ...run.training, steps: 80, learningRate: 0.01 }
    const { evaluations } = await train({ ...run, training })
    expect(evaluations[evaluations.length - 1].loss).toBeLessThan(0.7 * Math.log(257))
  })

  it('on every backend', async () => {
    const final: number[] = []
    for (const backend of availableKernels()) {
      const run = tinyRun(temporaryDirectory(), { kernels: backend })
      const { evaluations } = await train(run)
      final.push(evaluations[evaluations.length - 1].loss)
    }
    for (const loss of final) expect(Math.abs(loss - final[0])).toBeLessThan(0.02)
  })

  it('in bf16 multiplies rounded weights and inputs, ends near the f32 run, and stays f32 outside of its products', async () => {
    // In f32, in bf16, and in f32 with products that are given rounded operands.
    const multiply: typeof portable.matmul = (a, b, c, ...others) =>
      portable.matmul(roundedToBf16(a), roundedToBf16(b), c, ...others)
    const ways = [
      { precision: 'f32', using: portable },
      { precision: 'bf16-emulated', using: portable },
      { precision: 'f32', using: { ...portable, matmul: multiply } },
    ] as const
    const losses: number[] = []
    const final: Buffer[] = []
    for (const { precision, using } of ways) {
      const run = tinyRun(temporaryDirectory(), { kernels: using })
      const { evaluations } = await train({ ...run, training: { ...run.training, precision } })
      losses.push(evaluations[evaluations.length - 1].loss)
      final.push(weights(run.directory))
    }
    expect(Math.abs(losses[1] - losses[0])).toBeLessThan(0.02)
    expect(final[1].equals(final[0])).toBe(false)
    expect(final[1].equals(final[2])).toBe(true)
  })

  it('in bf16 is refused where the processor does not multiply it, before anything is written', async () => {
    const directory = path.join(temporaryDirectory(), 'run')
    const run = tinyRun(directory, { kernels: portable })
    await expect(train({ ...run, training: { ...run.training, precision: 'bf16' } })).rejects.toMatchObject({
      code: 'PRECISION_UNSUPPORTED',
      message: /bf16-emulated/,
    })
    expect(fs.existsSync(directory)).toBe(false)
  })

  it('switches its activation once, and is sparse after it', async () => {
    const { evaluations, strategy } = await train(tinyRun(temporaryDirectory()))
    expect(strategy.switchStep).toBe(18)
    for (const { step, activation } of evaluations) expect(activation.startsWith('stocha')).toBe(step <= 18)
    const { sparsity } = evaluations[evaluations.length - 1]
    expect(Math.min(...sparsity)).toBeGreaterThan(0.2)
  })

  it('interrupted anywhere and resumed, ends with the same bits', async () => {
    const whole = temporaryDirectory()
    await train(tinyRun(whole))
    const parts = temporaryDirectory()
    for (const step of [2, 7, 10, 19]) await interruptAfter(tinyRun(parts), step)
    await train(tinyRun(parts))
    expect(weights(parts).equals(weights(whole))).toBe(true)
    expect(losses(parts)).toEqual(losses(whole))
  })

  it('resumed from an older checkpoint (after a kill) repeats the lost steps with the same bits', async () => {
    const whole = temporaryDirectory()
    await train(tinyRun(whole))
    const killed = temporaryDirectory()
    await interruptAfter(tinyRun(killed), 7)
    const metrics = path.join(killed, 'metrics.jsonl')
    // What a kill leaves: lines of steps after the checkpoint, the last one cut in half.
    const [line] = fs.readFileSync(metrics, 'utf8').split('\n')
    fs.appendFileSync(metrics, `${JSON.stringify({ ...JSON.parse(line), step: 8, loss: 9 })}\n{"kind":"st`)
    await train(tinyRun(killed))
    expect(weights(killed).equals(weights(whole))).toBe(true)
    expect(losses(killed)).toEqual(losses(whole))
  })

  it.skipIf(kernels().backend === 'portable')('has the same bits with 1, 2 and 3 threads', async () => {
    const results: Buffer[] = []
    for (const threads of [1, 2, 3]) {
      setThreads(threads)
      const directory = temporaryDirectory()
      const run = tinyRun(directory)
      await train({ ...run, training: { ...run.training, steps: 50 } })
      results.push(weights(directory))
    }
    setThreads(defaultThreads())
    expect(results[1].equals(results[0])).toBe(true)
    expect(results[2].equals(results[0])).toBe(true)
  })

  it('accumulates: two micro-batches of three equal one batch of six', async () => {
    const final = await Promise.all(
      [
        { batchSize: 3, accumulate: 2 },
        { batchSize: 6, accumulate: 1 },
      ].map(async shape => {
        const directory = temporaryDirectory()
        const run = tinyRun(directory)
        await train({ ...run, training: { ...run.training, ...shape } })
        return { losses: losses(directory), norms: perStep(directory, 'gradNorm') }
      }),
    )
    expect(final[0].losses).toHaveLength(24)
    final[0].losses.forEach((loss, i) => {
      expect(Math.abs(loss - final[1].losses[i])).toBeLessThan(1e-3)
    })
    // AdamW hides the scale of a gradient; its norm does not.
    final[0].norms.forEach((norm, i) => {
      expect(Math.abs(norm / final[1].norms[i] - 1)).toBeLessThan(1e-2)
    })
  })

  it('when finished is not trained again, unless asked', async () => {
    const directory = temporaryDirectory()
    await train(tinyRun(directory))
    const before = fs.statSync(
      path.join(latestRunCheckpoint(directory)?.dir ?? '', 'model.safetensors'),
    ).mtimeMs
    const onProgress = vi.fn()
    const again = await train(tinyRun(directory, { onProgress }))
    expect(onProgress).not.toHaveBeenCalled()
    expect(again.evaluations.length).toBeGreaterThan(0)
    expect(fs.statSync(path.join(again.checkpoint, 'model.safetensors')).mtimeMs).toBe(before)
    await train(tinyRun(directory, { fresh: true, onProgress }))
    expect(onProgress).toHaveBeenCalledTimes(24)
  })

  it('refuses a directory that holds another run, and says what differs', async () => {
    const directory = temporaryDirectory()
    await train(tinyRun(directory))
    const run = tinyRun(directory)
    const other = train({ ...run, training: { ...run.training, learningRate: 0.5 } })
    await expect(other).rejects.toMatchObject({ code: 'RUN_DIFFERS', exitCode: 2 })
    await expect(other).rejects.toThrow('training.learningRate: 0.002 there, 0.5 now')
  })

  it('stops at a loss that is not finite, says at which step, and keeps the last good checkpoint', async () => {
    const directory = temporaryDirectory()
    const run = tinyRun(directory)
    // Weights grow by about the learning rate a step: soon beyond what f32 holds.
    const training = { ...run.training, learningRate: 1e30, warmupSteps: 0, clip: 0, checkpointEvery: 1 }
    const error = await train({ ...run, training }).then(
      () => null,
      (caught: FlickerError) => caught,
    )
    expect(error).toBeInstanceOf(FlickerError)
    expect(error).toMatchObject({ code: 'LOSS_NOT_FINITE', exitCode: 1 })
    const step = Number(/stopped at step (\d+)/.exec(error?.message ?? '')?.[1])
    const latest = latestRunCheckpoint(directory)
    expect(latest?.step).toBe(step - 1)
    const checkpoint = readCheckpoint(latest?.dir ?? '')
    expect(checkpoint.tensor('model.norm.weight').every(Number.isFinite)).toBe(true)
    checkpoint.close()
  })

  it('saves nothing when its last update overflows, and measures nothing of it', async () => {
    const directory = temporaryDirectory()
    const run = tinyRun(directory)
    // The update itself overflows: the gradient before it is finite.
    const training = { ...run.training, steps: 1, learningRate: 1e39, warmupSteps: 1, clip: 0 }
    const error = { code: 'LOSS_NOT_FINITE', exitCode: 1 }
    await expect(train({ ...run, training })).rejects.toMatchObject(error)
    expect(latestRunCheckpoint(directory)).toBeNull()
    const lines = fs.readFileSync(path.join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n')
    expect(lines.map(line => JSON.parse(line).kind)).toEqual(['step'])
  })

  it('saves nothing when an update overflows that no measurement follows', async () => {
    const directory = temporaryDirectory()
    const run = tinyRun(directory)
    const steps = { steps: 2, warmupSteps: 1, evalEvery: 2, checkpointEvery: 1 }
    const training = { ...run.training, ...steps, learningRate: 1e39, clip: 0 }
    const strategy = { strategy: 'scratch', activation: 'relu' } as const
    await expect(train({ ...run, training, strategy })).rejects.toMatchObject({
      code: 'LOSS_NOT_FINITE',
      message: expect.stringMatching(
        /stopped at step 1: a value of the parameter .* no checkpoint had been saved/,
      ),
    })
    expect(latestRunCheckpoint(directory)).toBeNull()
  })

  it.each([
    [
      'weight',
      'model.norm.weight',
      (step: TrainingStep) => step.model.parameters.get('model.norm.weight')?.data,
    ],
    [
      'first moment',
      'model.norm.weight',
      (step: TrainingStep) => step.optimizer.moments.get('model.norm.weight')?.m,
    ],
    [
      'second moment',
      'model.norm.weight',
      (step: TrainingStep) => step.optimizer.moments.get('model.norm.weight')?.v,
    ],
    [
      'learned parameter of an activation',
      'model.layers.0.mlp.act.above',
      (step: TrainingStep) => step.model.parameters.get('model.layers.0.mlp.act.above')?.data,
    ],
  ])('names a %s that is not finite', (_, name, values) => {
    const config = { ...tinyConfig, activation: 'xielu' }
    const options = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1, seed: 1 }
    const step = new TrainingStep(kernels(), Llama.initialize(config, 1), options)
    expect(step.nonFinite()).toBeNull()
    const held = values(step)
    expect(held?.length).toBeGreaterThan(0)
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      if (held !== undefined) held[held.length - 1] = broken
      expect(step.nonFinite()).toContain(name)
    }
  })

  it('refuses text shorter than one context, and tokens beyond the vocabulary', async () => {
    const run = tinyRun(temporaryDirectory())
    const short = { ...run.data, train: new Uint16Array(10) }
    await expect(train({ ...run, data: short })).rejects.toMatchObject({ code: 'CORPUS_TOO_SHORT' })
    const foreign = { ...run.data, validation: new Uint16Array(100).fill(300) }
    await expect(train({ ...run, data: foreign })).rejects.toMatchObject({ code: 'VOCABULARY_MISMATCH' })
  })

  it('leaves nothing lost when the disk is full: the checkpoint before stays', async () => {
    const directory = temporaryDirectory()
    await interruptAfter(tinyRun(directory), 5)
    const write = fs.writeSync
    const full = vi.spyOn(fs, 'writeSync').mockImplementation(((fd: number, ...rest: [Uint8Array]) => {
      if (rest[0].length > 1000)
        throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', errno: -28, syscall: 'write' })
      return write(fd, ...rest)
    }) as typeof fs.writeSync)
    await expect(train(tinyRun(directory))).rejects.toMatchObject({ code: 'DISK_FULL', exitCode: 1 })
    full.mockRestore()
    expect(latestRunCheckpoint(directory)?.step).toBe(5)
    const whole = temporaryDirectory()
    await train(tinyRun(whole))
    await train(tinyRun(directory))
    expect(weights(directory).equals(weights(whole))).toBe(true)
  })
})
