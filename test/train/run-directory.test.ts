// What a run's directory keeps, and that nothing in it is replaced by less unless the run is told to start over.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FlickerError } from '../../src/errors.js'
import { latestRunCheckpoint } from '../../src/formats/index.js'
import { availableKernels } from '../../src/kernels/index.js'
import { readRunOptions, type TrainRun, train } from '../../src/train/index.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

/** Content of every file below a directory. */
function contents(directory: string): Map<string, string> {
  const files = fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
  return new Map(
    files.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name)
      return [
        path.relative(directory, file),
        createHash('sha256').update(fs.readFileSync(file)).digest('hex'),
      ]
    }),
  )
}

/** Runs until `step` has been taken and saved. */
async function trainTo(step: number, run: TrainRun): Promise<void> {
  const controller = new AbortController()
  const onProgress = ({ step: at }: { step: number }) => {
    if (at === step - 1) controller.abort()
  }
  await expect(train({ ...run, signal: controller.signal, onProgress })).rejects.toMatchObject({
    code: 'INTERRUPTED',
  })
}

async function failure(run: TrainRun): Promise<FlickerError> {
  return train(run).then(
    () => {
      throw new Error('the run ended well')
    },
    error => error,
  )
}

const weights = (directory: string) =>
  contents(directory).get(
    path.relative(directory, path.join(latestRunCheckpoint(directory)?.dir ?? '', 'model.safetensors')),
  )

describe('a run that has lost a file', () => {
  it.each(['trainer_state.json', 'optimizer.safetensors', 'config.json', 'model.safetensors'])(
    'of its checkpoint (%s) is not started again: nothing changes, and the message says what is missing',
    async name => {
      const directory = temporaryDirectory()
      await trainTo(7, tinyRun(directory))
      fs.rmSync(path.join(directory, 'checkpoint-7', name))
      const before = contents(directory)
      const error = await failure(tinyRun(directory))
      expect(error).toMatchObject({ code: 'CHECKPOINT_DAMAGED', exitCode: 2 })
      expect(error.message).toContain(`checkpoint-7 lacks ${name}`)
      expect(error.message).toContain('--fresh')
      expect(contents(directory)).toEqual(before)
    },
  )

  it('of its newest checkpoint does not fall back to an older one, whose next save would replace the newer', async () => {
    const directory = temporaryDirectory()
    await trainTo(3, tinyRun(directory))
    fs.cpSync(path.join(directory, 'checkpoint-3'), path.join(directory, 'kept'), { recursive: true })
    await trainTo(7, tinyRun(directory))
    fs.renameSync(path.join(directory, 'kept'), path.join(directory, 'checkpoint-3'))
    fs.rmSync(path.join(directory, 'checkpoint-7', 'trainer_state.json'))
    const before = contents(directory)
    expect(await failure(tinyRun(directory))).toMatchObject({ code: 'CHECKPOINT_DAMAGED' })
    expect(contents(directory)).toEqual(before)
  })

  it('with its options is not resumed with others', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    fs.rmSync(path.join(directory, 'options.json'))
    const before = contents(directory)
    expect(await failure(tinyRun(directory))).toMatchObject({ code: 'RUN_OPTIONS_MISSING', exitCode: 2 })
    expect(contents(directory)).toEqual(before)
  })

  it('starts over when it is told to, also from a damaged state', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    fs.rmSync(path.join(directory, 'checkpoint-7', 'trainer_state.json'))
    fs.writeFileSync(path.join(directory, 'options.json'), '{')
    await train(tinyRun(directory, { fresh: true }))
    expect(fs.readdirSync(directory).sort()).toEqual(['checkpoint-24', 'metrics.jsonl', 'options.json'])
    const whole = temporaryDirectory()
    await train(tinyRun(whole))
    expect(weights(directory)).toBe(weights(whole))
  })

  it('with its metrics resumes, says so, and keeps what could not be read', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    const metrics = path.join(directory, 'metrics.jsonl')
    const lines = fs.readFileSync(metrics, 'utf8').split('\n')
    const damaged = [lines[0], '{"kind":"step","step":tw', ...lines.slice(2)].join('\n')
    fs.writeFileSync(metrics, damaged)
    const notices: string[] = []
    const { curve } = await train(tinyRun(directory, { onNotice: notice => notices.push(notice) }))
    expect(notices.join('\n')).toContain('1 lines cannot be read')
    expect(notices.join('\n')).toContain('records 6 of the 7 steps so far')
    expect(fs.readFileSync(path.join(directory, 'metrics-damaged.jsonl'), 'utf8')).toBe(damaged)
    expect(curve.map(({ step }) => step)).toEqual([1, ...Array.from({ length: 22 }, (_, i) => i + 3)])
  })
})

describe('a run whose files do not fit', () => {
  it('refuses a state of another step than its checkpoint, which would replace it by fewer', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    const file = path.join(directory, 'checkpoint-7', 'trainer_state.json')
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), step: 2 }))
    const before = contents(directory)
    const error = await failure(tinyRun(directory))
    expect(error).toMatchObject({ code: 'TRAINER_STATE_INVALID' })
    expect(error.message).toContain('is of step 2')
    expect(contents(directory)).toEqual(before)
  })

  it.each([
    ['', 'RUN_OPTIONS_INVALID'],
    ['null', 'RUN_OPTIONS_INVALID'],
    ['[]', 'RUN_OPTIONS_INVALID'],
    ['{"model":', 'RUN_OPTIONS_INVALID'],
    ['{"model":null,"strategy":{},"training":{"steps":3},"data":{}}', 'RUN_OPTIONS_INVALID'],
    [
      '{"model":{},"strategy":{},"training":{"steps":0.5},"data":{"train":"","validation":""}}',
      'RUN_OPTIONS_INVALID',
    ],
    ['{"model":{},"strategy":{},"training":{"steps":24},"data":{"train":"","validation":""}}', 'RUN_DIFFERS'],
    [
      '{"model":{},"strategy":{},"training":{"steps":24},"data":{"train":"","validation":""},"extensions":7}',
      'RUN_OPTIONS_INVALID',
    ],
  ])('has a code for damaged options: %s', async (text, code) => {
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, 'options.json'), text)
    const error = await failure(tinyRun(directory))
    expect(error).toMatchObject({ code, exitCode: 2 })
    expect(error.message).toContain('--fresh')
    expect(error.message.length).toBeLessThan(600)
    expect(fs.readFileSync(path.join(directory, 'options.json'), 'utf8')).toBe(text)
  })
})

describe.skipIf(availableKernels().length < 2)('a run resumed with other kernels', () => {
  it('says so and records from which step', async () => {
    const [first, second] = availableKernels()
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory, { kernels: first }))
    const notices: string[] = []
    const onNotice = (notice: string) => notices.push(notice)
    const named = ({ backend, isa }: typeof first) => ({ backend, isa })
    const { kernels } = await train(tinyRun(directory, { kernels: second, onNotice }))
    expect(notices).toHaveLength(1)
    expect(notices[0]).toContain(`7 steps so far were computed by ${first.backend} kernels (${first.isa})`)
    expect(notices[0]).toContain(`${second.backend} kernels (${second.isa})`)
    expect(kernels).toEqual([
      { fromStep: 1, ...named(first) },
      { fromStep: 8, ...named(second) },
    ])
    const again = await train(tinyRun(directory, { kernels: second, onNotice }))
    expect(again.kernels).toEqual(kernels)
    expect(notices).toHaveLength(1)
  })

  it('says nothing when they are the same', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    const onNotice = (notice: string) => expect.fail(notice)
    const { kernels } = await train(tinyRun(directory, { onNotice }))
    expect(kernels).toHaveLength(1)
  })
})

describe('a run of an earlier version', () => {
  it('that lacks options with defaults goes on; with another value it is another run', async () => {
    const directory = temporaryDirectory()
    const run = tinyRun(directory)
    await train(run)
    const file = path.join(directory, 'options.json')
    const options = JSON.parse(fs.readFileSync(file, 'utf8'))
    const lacking = structuredClone(options)
    delete lacking.training.clip
    delete lacking.strategy.positive
    fs.writeFileSync(file, JSON.stringify(lacking))
    const { training } = run
    expect(await failure({ ...run, training: { ...training, clip: 0.25 } })).toMatchObject({
      code: 'RUN_DIFFERS',
    })
    await train(run)
    expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual(options)
  })
})

describe('a run that is extended', () => {
  const longer = (directory: string, steps: number, extra: Partial<TrainRun> = {}) => {
    const run = tinyRun(directory, extra)
    return { ...run, training: { ...run.training, steps } }
  }

  it('is only when it is told to, and never shortened', async () => {
    const directory = temporaryDirectory()
    await train(tinyRun(directory))
    expect(await failure(longer(directory, 30))).toMatchObject({ code: 'RUN_DIFFERS' })
    expect(await failure(longer(directory, 20, { extend: true }))).toMatchObject({ code: 'RUN_DIFFERS' })
    expect(latestRunCheckpoint(directory)?.step).toBe(24)
  })

  it('has the learning rates of the longer run from there on, and keeps a switch that has happened', async () => {
    const directory = temporaryDirectory()
    await train(tinyRun(directory))
    const { strategy, evaluations } = await train(longer(directory, 40, { extend: true }))
    // α = 0.25: the switch of 24 steps was after step 18; that of 40 would be after step 30.
    expect(strategy.switchStep).toBe(18)
    expect(evaluations.map(({ step }) => step)).toEqual([8, 16, 18, 24, 32, 40])
    const lines = fs.readFileSync(path.join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n')
    const rates = new Map(
      lines
        .map(line => JSON.parse(line))
        .flatMap(line => (line.kind === 'step' ? [[line.step, line.learningRate]] : [])),
    )
    const cosine = (step: number, steps: number) =>
      1e-4 + 0.5 * (1 + Math.cos((Math.PI * (step - 4)) / (steps - 4))) * (2e-3 - 1e-4)
    expect(rates.get(23)).toBeCloseTo(cosine(23, 24), 12)
    expect(rates.get(25)).toBeCloseTo(cosine(25, 40), 12)
    expect(rates.get(40)).toBeCloseTo(1e-4, 12)
    expect(rates.size).toBe(40)
  })

  it('before its switch has the switch of the longer run', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    const { strategy } = await train(longer(directory, 40, { extend: true }))
    expect(strategy.switchStep).toBe(30)
  })

  it('and interrupted ends with the same bits', async () => {
    const whole = temporaryDirectory()
    await train(tinyRun(whole))
    const parts = temporaryDirectory()
    fs.cpSync(whole, parts, { recursive: true })
    await train(longer(whole, 40, { extend: true }))
    await trainTo(27, longer(parts, 40, { extend: true }))
    await trainTo(35, longer(parts, 40))
    await train(longer(parts, 40, { extend: true }))
    expect(weights(parts)).toBe(weights(whole))
  })
})

describe('the stored options', () => {
  it('are those of the run, with where its data came from', async () => {
    const directory = temporaryDirectory()
    const run = tinyRun(directory)
    const source = { corpus: '/a/corpus.txt', tokenizer: 'bytes' }
    await trainTo(7, { ...run, data: { ...run.data, source } })
    const stored = readRunOptions(directory)
    expect(stored).toMatchObject({
      model: { hiddenSize: 16, numHiddenLayers: 2, vocabSize: run.data.tokenizer.vocabSize },
      strategy: { strategy: 'stocha', p: 0.7, to: 'relu' },
      training: { steps: 24, batchSize: 3, seed: 3 },
      intervals: { evalEvery: 8, evalTokens: 200, checkpointEvery: 5 },
      source,
    })
    await train(run)
    expect(readRunOptions(directory)).toEqual(stored)
    expect(readRunOptions(temporaryDirectory())).toBeNull()
  })

  it('may have other intervals: these decide no bits', async () => {
    const directory = temporaryDirectory()
    await trainTo(7, tinyRun(directory))
    const run = tinyRun(directory)
    await train({ ...run, training: { ...run.training, evalEvery: 12 } })
    expect(readRunOptions(directory)?.intervals).toMatchObject({ evalEvery: 12 })
    const whole = temporaryDirectory()
    await train(tinyRun(whole))
    expect(weights(directory)).toBe(weights(whole))
  })
})
