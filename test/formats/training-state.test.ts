// Training checkpoints: weights, moments and state of one step, whatever happens while they are saved.

import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { charTokenizer } from '../../src/data/tokenizers/characters.js'
import { CheckpointError, StorageError } from '../../src/errors.js'
import { readCheckpoint, writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { convertModel, openModel } from '../../src/formats/index.js'
import {
  clearRunCheckpoints,
  incompleteRunCheckpoints,
  latestRunCheckpoint,
  readTrainingState,
  saveRunCheckpoint,
} from '../../src/formats/training-state.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { fillDiskAfter, runKilledAfter } from './disk-faults.js'
import {
  contentOf,
  contentOfStep,
  stepOf,
  temporaryDirectory,
  tinyConfig,
  trainedTensors,
} from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let run = ''
beforeEach(() => {
  run = fs.mkdtempSync(path.join(root, 'run-'))
})
afterEach(() => vi.restoreAllMocks())

const shapes = parameterShapes(tinyConfig).slice(0, trainedTensors)
const save = (step: number, options: Parameters<typeof saveRunCheckpoint>[3] = {}) =>
  saveRunCheckpoint(run, step, contentOfStep(step), options)
const latestStep = () => stepOf(latestRunCheckpoint(run)!.dir)

describe('the checkpoints of a run', () => {
  it('hold weights, moments and state of the same step, and the weights load as any checkpoint', () => {
    save(7)
    const latest = latestRunCheckpoint(run)!
    expect(latest).toEqual({ dir: path.join(run, 'checkpoint-7'), step: 7 })
    expect(stepOf(latest.dir)).toBe(7)
    const checkpoint = readCheckpoint(latest.dir)
    expect(checkpoint.config).toEqual(tinyConfig)
    checkpoint.close()
  })

  it('keep every bit of the moments', () => {
    const content = contentOfStep(1)
    const random = (length: number, seed: number) =>
      new Float32Array(
        Uint32Array.from({ length }, (_, i) => Math.imul(i + seed, 2654435761) & 0xff7fffff).buffer,
      )
    const optimizer = content.tensors[Symbol.iterator]().next().value
    const first = random(optimizer.data.length, 1)
    const second = random(optimizer.data.length, 1e6)
    saveRunCheckpoint(run, 1, { ...content, optimizer: [{ ...optimizer, first, second }] })
    const training = readTrainingState(latestRunCheckpoint(run)!.dir, z.object({ step: z.number() }), [
      optimizer,
    ])
    const read = training.moments(optimizer.name)
    expect(new Uint32Array(read.first.buffer)).toEqual(new Uint32Array(first.buffer))
    expect(new Uint32Array(read.second.buffer)).toEqual(new Uint32Array(second.buffer))
    training.close()
  })

  it('are one by default, the newest, or as many as are asked to be kept', () => {
    for (const step of [1, 2, 3]) save(step)
    expect(fs.readdirSync(run)).toEqual(['checkpoint-3'])
    for (const step of [9, 10, 11]) save(step, { keep: 2 })
    expect(fs.readdirSync(run).sort()).toEqual(['checkpoint-10', 'checkpoint-11'])
    expect(latestStep()).toBe(11)
  })

  it('leave other files of the run alone', () => {
    fs.writeFileSync(path.join(run, 'metrics.jsonl'), '{}')
    fs.mkdirSync(path.join(run, 'checkpoint-best'))
    save(1)
    save(2)
    expect(fs.readdirSync(run).sort()).toEqual(['checkpoint-2', 'checkpoint-best', 'metrics.jsonl'])
  })

  it('are none for a run that has not begun', () => {
    expect(latestRunCheckpoint(run)).toBeNull()
    expect(latestRunCheckpoint(path.join(run, 'nowhere'))).toBeNull()
  })

  it('do not count when they are temporaries, halves, or plain models', () => {
    save(3)
    fs.mkdirSync(path.join(run, '.checkpoint-9.tmp-1-1'))
    fs.mkdirSync(path.join(run, 'checkpoint-8'))
    writeCheckpoint(path.join(run, 'checkpoint-7'), contentOf(tinyConfig))
    fs.writeFileSync(path.join(run, 'checkpoint-6'), '')
    expect(latestRunCheckpoint(run)?.step).toBe(3)
  })

  it('refuse an earlier step than the latest, which would never be resumed from', () => {
    save(5)
    expect(() => save(4)).toThrow(StorageError)
    expect(() => save(4)).toThrow(/already has step 5, so step 4/)
    clearRunCheckpoints(run)
    save(4)
    expect(latestStep()).toBe(4)
  })
})

describe('a checkpoint that has lost some of its files', () => {
  it.each(['optimizer.safetensors', 'trainer_state.json', 'model.safetensors', 'config.json'])(
    'is named with them: %s',
    file => {
      save(3)
      const dir = path.join(run, 'checkpoint-3')
      expect(incompleteRunCheckpoints(run)).toEqual([])
      fs.rmSync(path.join(dir, file))
      expect(latestRunCheckpoint(run)).toBeNull()
      expect(incompleteRunCheckpoints(run)).toEqual([{ dir, step: 3, missing: [file] }])
      // The weights are not taken for those of the run without a word, nor for missing.
      expect(() => openModel(run)).toThrow(
        expect.objectContaining({ code: 'CHECKPOINT_INCOMPLETE', message: expect.stringContaining(file) }),
      )
      clearRunCheckpoints(run)
      expect(fs.readdirSync(run)).toEqual([])
    },
  )

  it('is not an empty directory of that name', () => {
    fs.mkdirSync(path.join(run, 'checkpoint-3'))
    expect(incompleteRunCheckpoints(run)).toEqual([])
    expect(incompleteRunCheckpoints(path.join(run, 'nowhere'))).toEqual([])
  })
})

describe('a conversion to where a run keeps its checkpoint', () => {
  it.each([[[]], [['optimizer.safetensors']], [['trainer_state.json']]])(
    'is refused even with force: the run could not resume (already lost: %j)',
    lost => {
      save(3)
      const dir = path.join(run, 'checkpoint-3')
      for (const file of lost) fs.rmSync(path.join(dir, file))
      const before = fs.readdirSync(dir).sort()
      const source = path.join(root, `source-${lost.length}-${lost[0]}`)
      writeCheckpoint(source, contentOf(tinyConfig, { tokenizer: { model: {}, added_tokens: [] } }))
      const tokenizer = path.join(root, 'tokenizer.json')
      fs.writeFileSync(tokenizer, JSON.stringify(charTokenizer(['abc']).toJSON()))
      let error: unknown
      try {
        convertModel(source, dir, { to: 'hf', force: true, tokenizer })
      } catch (thrown) {
        error = thrown
      }
      expect(error).toBeInstanceOf(StorageError)
      expect(error).toMatchObject({ code: 'TRAINING_STATE_KEPT' })
      expect(fs.readdirSync(dir).sort()).toEqual(before)
    },
  )
})

describe('training state that does not fit is refused', () => {
  const schema = z.object({ step: z.number(), seed: z.number().optional() })

  it('by the field', () => {
    save(1)
    const dir = latestRunCheckpoint(run)!.dir
    fs.writeFileSync(path.join(dir, 'trainer_state.json'), '{"step": "one"}')
    const reading = () => readTrainingState(dir, schema, shapes)
    expect(reading).toThrow(CheckpointError)
    expect(reading).toThrow(/trainer_state\.json: step: must be a number, not "/)
  })

  it('by the parameter', () => {
    save(1)
    const dir = latestRunCheckpoint(run)!.dir
    const further = { name: 'extra', shape: [1] }
    expect(() => readTrainingState(dir, schema, [...shapes, further])).toThrow(/no tensor "extra\.exp_avg"/)
    expect(() => readTrainingState(dir, schema, shapes.slice(1))).toThrow(
      /"model\.embed_tokens\.weight\.exp_avg" belongs/,
    )
    const wrong = shapes.map(spec => ({ ...spec, shape: [1, ...spec.shape] }))
    expect(() => readTrainingState(dir, schema, wrong)).toThrow(/exp_avg" must have shape \[1, 11, 8\]/)
    expect(() => readTrainingState(path.join(run, 'none'), schema, shapes)).toThrow(/no checkpoint directory/)
  })

  it('before it is written when JSON cannot hold it', () => {
    const content = { ...contentOfStep(1), state: { loss: Number.NaN } }
    expect(() => saveRunCheckpoint(run, 1, content)).toThrow(/"loss" is NaN/)
    expect(fs.readdirSync(run)).toEqual([])
  })
})

describe('a kill while saving', () => {
  it.each([
    ['the next step', 2],
    ['the same step again', 1],
  ])('within any call, for %s, leaves a complete checkpoint, and the run goes on from it', (_, step) => {
    let calls = 0
    for (let finished = false; !finished; calls += 1) {
      fs.rmSync(run, { recursive: true })
      save(1)
      finished = runKilledAfter(calls, () => save(step))
      const found = latestStep()
      expect([1, step]).toContain(found)
      if (finished) expect(found).toBe(step)
    }
    expect(calls).toBeGreaterThan(25)
    save(3)
    expect(latestStep()).toBe(3)
  })

  it('or while starting over leaves nothing that stands in the way', () => {
    let calls = 0
    for (let finished = false; !finished; calls += 1) {
      fs.rmSync(run, { recursive: true })
      save(1, { keep: 2 })
      save(2, { keep: 2 })
      finished = runKilledAfter(calls, () => clearRunCheckpoints(run))
      const latest = latestRunCheckpoint(run)
      if (latest !== null) expect(stepOf(latest.dir)).toBe(2)
    }
    expect(latestRunCheckpoint(run)).toBeNull()
    save(1)
    expect(latestStep()).toBe(1)
  })

  it('by SIGKILL at random moments always leaves a complete checkpoint to go on from', async () => {
    const program = path.join(root, 'save-forever.mjs')
    const input = fileURLToPath(new URL('save-forever.ts', import.meta.url))
    const bundle = await rolldown({ input, platform: 'node' })
    await bundle.write({ file: program, format: 'esm', codeSplitting: false })
    let previous = -1
    for (let round = 0; round < 8; round++) {
      await killedWhileSaving(program, 2 + Math.floor(Math.random() * 10))
      const step = latestStep()
      expect(step).toBeGreaterThanOrEqual(previous)
      previous = step
    }
    expect(previous).toBeGreaterThan(0)
    save(previous + 1)
    expect(fs.readdirSync(run)).toEqual([`checkpoint-${previous + 1}`])
  })

  /** Starts the program and kills it soon after it has reported so many saves, wherever it is then. */
  function killedWhileSaving(program: string, saves: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [program, run], { stdio: ['ignore', 'pipe', 'pipe'] })
      let complaint = ''
      child.stderr.on('data', text => {
        complaint += text
      })
      let seen = 0
      child.stdout.on('data', dots => {
        seen += dots.length
        if (seen >= saves) child.kill('SIGKILL')
      })
      child.once('exit', (_, signal) => (signal === 'SIGKILL' ? resolve() : reject(new Error(complaint))))
    })
  }
})

describe('a full disk while saving', () => {
  it.each([0, 1000, 5000])('after %i bytes leaves the last checkpoint and no temporaries', capacity => {
    save(1)
    fillDiskAfter(capacity)
    let error: unknown
    try {
      save(2)
    } catch (thrown) {
      error = thrown
    }
    vi.restoreAllMocks()
    expect(error).toBeInstanceOf(StorageError)
    expect(error).toMatchObject({ code: 'DISK_FULL', exitCode: 1 })
    expect(fs.readdirSync(run)).toEqual(['checkpoint-1'])
    expect(latestStep()).toBe(1)
    save(2)
    const dir = latestRunCheckpoint(run)!.dir
    const size = fs.readdirSync(dir).reduce((sum, name) => sum + fs.statSync(path.join(dir, name)).size, 0)
    // The size was right, to the byte, before anything was written.
    expect((error as Error).message).toContain(`(${size.toLocaleString('en-US')} bytes)`)
  })

  const disk = path.join(root, 'disk')
  const mounted = mountSmallDisk(disk)
  afterAll(() => {
    if (mounted) execFileSync('umount', [disk])
  })

  it.skipIf(!mounted)('of one megabyte, a real one, leaves the last checkpoint', () => {
    // 0.56 MB with the moments: one fits, two do not.
    const config = { ...tinyConfig, vocabSize: 5800 }
    saveRunCheckpoint(disk, 1, contentOfStep(1, config))
    const saving = () => saveRunCheckpoint(disk, 2, contentOfStep(2, config))
    expect(saving).toThrow(StorageError)
    expect(saving).toThrow(/the disk is full: .* needs 5\d\d\.\d kB .* 4\d\d\.\d kB \(.* bytes\) are free/)
    expect(fs.readdirSync(disk)).toEqual(['checkpoint-1'])
    expect(stepOf(latestRunCheckpoint(disk)!.dir, config)).toBe(1)
  })
})

/** Mounts a file system of one megabyte, where that is allowed. */
function mountSmallDisk(directory: string): boolean {
  fs.mkdirSync(directory)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
