// Runs that begin alike: begun from the kept state of another run, a run has the bits of one trained alone.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { latestRunCheckpoint } from '../../src/formats/index.js'
import {
  hasBranch,
  regularizerSchema,
  type StrategyOptions,
  sharedSteps,
  type TrainRun,
  train,
} from '../../src/train/index.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

const silu: StrategyOptions = { strategy: 'scratch', activation: 'silu' }
const swift: StrategyOptions = { strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.25 }

/** The files of the final checkpoint that hold bits: weights, moments. */
function finalBits(directory: string): Buffer[] {
  const dir = latestRunCheckpoint(directory)?.dir ?? ''
  return ['model.safetensors', 'optimizer.safetensors'].map(name => fs.readFileSync(path.join(dir, name)))
}

/** metrics.jsonl without the seconds that steps took. */
function record(directory: string): unknown[] {
  const lines = fs.readFileSync(path.join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n')
  return lines.map(line => ({ ...JSON.parse(line), seconds: 0 }))
}

async function kept(step: number, extra: Partial<TrainRun> = {}): Promise<string> {
  const directory = temporaryDirectory()
  await train(tinyRun(directory, { strategy: silu, keepAfter: [step], ...extra }))
  return directory
}

describe('runs that begin alike', () => {
  it('share the steps before the first one with another activation', () => {
    const shared = (one: StrategyOptions, other: StrategyOptions) =>
      sharedSteps({ strategy: one }, { strategy: other }, 24)
    expect(shared(silu, swift)).toBe(18)
    expect(shared(swift, { ...swift, alpha: 0.5 })).toBe(12)
    expect(shared(silu, { strategy: 'scratch', activation: 'relu' })).toBe(0)
    expect(shared(silu, silu)).toBe(24)
  })

  it('with different regularizers share the steps before the first with exact zeros', () => {
    const regularizer = regularizerSchema.parse({ name: 'l1', targetActive: 0.1 })
    const l1 = (strategy: StrategyOptions) => ({ strategy, regularizer })
    const relu: StrategyOptions = { strategy: 'scratch', activation: 'relu' }
    expect(sharedSteps({ strategy: silu }, l1(swift), 24)).toBe(18)
    expect(sharedSteps({ strategy: relu }, l1(relu), 24)).toBe(0)
    expect(sharedSteps(l1(relu), l1(relu), 24)).toBe(24)
  })

  it('end with the same bits with a regularizer that revives dead neurons', async () => {
    const regularizer = { name: 'l1', targetActive: 0.1, revive: 0.5, deadAfter: 3 } as const
    const alone = temporaryDirectory()
    await train(tinyRun(alone, { strategy: swift, regularizer }))
    const begun = temporaryDirectory()
    const parent = await kept(18)
    await train(tinyRun(begun, { strategy: swift, regularizer, beginFrom: { directory: parent, step: 18 } }))
    expect(finalBits(begun)[0].equals(finalBits(alone)[0])).toBe(true)
  })

  it('end with the bits of runs trained alone', async () => {
    const alone = temporaryDirectory()
    const { trainSeconds: _, ...whole } = await train(tinyRun(alone, { strategy: swift }))
    const parent = await kept(18)
    expect(hasBranch(parent, 18)).toBe(true)
    const begun = temporaryDirectory()
    const steps: number[] = []
    const { trainSeconds: __, ...branched } = await train(
      tinyRun(begun, {
        strategy: swift,
        beginFrom: { directory: parent, step: 18 },
        onProgress: ({ step }) => steps.push(step),
      }),
    )
    expect(steps).toEqual([19, 20, 21, 22, 23, 24])
    const [weights, moments] = finalBits(alone)
    expect(finalBits(begun)[0].equals(weights)).toBe(true)
    expect(finalBits(begun)[1].equals(moments)).toBe(true)
    expect(branched.curve).toEqual(whole.curve)
    expect(branched.evaluations).toEqual(whole.evaluations)
    expect(record(begun)).toEqual(record(alone))
  })

  it('resume from their own checkpoint once they have one, also where the kept state is gone', async () => {
    const parent = await kept(18)
    const begun = temporaryDirectory()
    const run = tinyRun(begun, { strategy: swift, beginFrom: { directory: parent, step: 18 } })
    const controller = new AbortController()
    const onProgress = ({ step }: { step: number }) => {
      if (step === 20) controller.abort()
    }
    await expect(train({ ...run, signal: controller.signal, onProgress })).rejects.toMatchObject({
      code: 'INTERRUPTED',
    })
    fs.rmSync(parent, { recursive: true })
    await train(run)
    const alone = temporaryDirectory()
    await train(tinyRun(alone, { strategy: swift }))
    expect(finalBits(begun)[0].equals(finalBits(alone)[0])).toBe(true)
  })

  it.each([
    ['another learning rate', { training: { ...tinyRun('.').training, learningRate: 0.01 } }, 'learningRate'],
    ['a switch before the state was kept', { strategy: { ...swift, alpha: 0.5 } as const }, 'activations'],
    ['another model', { model: { ...tinyRun('.').model, intermediateSize: 48 } }, 'intermediateSize'],
  ])('are refused with %s', async (_, extra, named) => {
    const parent = await kept(18)
    const directory = temporaryDirectory()
    const run = tinyRun(directory, {
      strategy: swift,
      beginFrom: { directory: parent, step: 18 },
      ...extra,
    })
    await expect(train(run)).rejects.toMatchObject({
      code: 'BRANCH_DIFFERS',
      message: expect.stringContaining(named),
    })
    expect(latestRunCheckpoint(directory)).toBeNull()
  })

  it('are refused where no state was kept', async () => {
    const parent = await kept(18)
    const run = tinyRun(temporaryDirectory(), {
      strategy: swift,
      beginFrom: { directory: parent, step: 12 },
    })
    await expect(train(run)).rejects.toMatchObject({ code: 'BRANCH_MISSING' })
  })

  it('starting over removes what was kept', async () => {
    const parent = await kept(18)
    await train(tinyRun(parent, { strategy: silu, fresh: true }))
    expect(hasBranch(parent, 18)).toBe(false)
  })
})
