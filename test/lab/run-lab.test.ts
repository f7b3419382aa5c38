// The lab as a library: any number of workers, interruptions and damaged files lead to the same numbers. Worker threads
// run compiled files, so the compiled package is what is tested.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse } from 'csv-parse/sync'
import { describe, expect, it } from 'vitest'
import type { LabOptions, LabResults } from '../../src/lab/index.js'
import { temporaryDirectories } from '../data/temporary.js'

const entry = pathToFileURL(path.resolve('dist/lab/index.js')).href
const lab = (await import(entry)) as typeof import('../../src/lab/index.js')

const directory = temporaryDirectories()

const small: LabOptions = {
  nSamples: 200,
  nFeatures: 6,
  epochs: 3,
  nRuns: 2,
  activations: ['relu', 'stoch', 'gumbel_stoch'],
}

/** What must not depend on how it was run. */
function numbers({ variants }: LabResults) {
  return variants.map(({ name, runs }) => ({ name, runs: runs.map(({ seconds: _, ...run }) => run) }))
}

describe('the lab', () => {
  it('finds the same with one worker, with two, and with more than there are runs', async () => {
    const [one, two, many] = [
      await lab.runLab({ ...small, nWorkers: 1 }),
      await lab.runLab({ ...small, nWorkers: 2 }),
      await lab.runLab({ ...small, nWorkers: 1000 }),
    ]
    expect(numbers(two)).toEqual(numbers(one))
    expect(numbers(many)).toEqual(numbers(one))
    expect(one.seeds).toEqual([0, 1])
  })

  it('resumes interrupted, and ends with the numbers of a run in one go', async () => {
    const place = directory({})
    const controller = new AbortController()
    const options = { ...small, nRuns: 4, nWorkers: 1 }
    const first = lab.runLab(options, {
      directory: place,
      signal: controller.signal,
      onProgress: ({ finishedRuns }) => finishedRuns >= 2 && controller.abort(),
    })
    await expect(first).rejects.toMatchObject({ code: 'INTERRUPTED', exitCode: 130 })
    expect(fs.existsSync(path.join(place, 'results.json'))).toBe(false)
    const kept = fs.readdirSync(path.join(place, 'runs'))
    expect(kept.length).toBeGreaterThanOrEqual(2)
    expect(kept.length).toBeLessThan(12)
    // One of them is damaged meanwhile: it is trained again.
    fs.writeFileSync(path.join(place, 'runs', kept[0]), '{"key": ')

    let found = 0
    const resumed = await lab.runLab(options, {
      directory: place,
      onProgress: ({ foundRuns }) => {
        found = foundRuns
      },
    })
    expect(found).toBe(kept.length - 1)
    expect(numbers(resumed)).toEqual(numbers(await lab.runLab(options)))
  })

  it('does not take runs of other options, data or learning rates for its own', async () => {
    const place = directory({})
    const options = { ...small, activations: ['relu'], nRuns: 1 }
    const foundIn = async (more: LabOptions) => {
      let found = 0
      await lab.runLab(
        { ...options, ...more },
        {
          directory: place,
          onProgress: p => {
            found = p.foundRuns
          },
        },
      )
      return found
    }
    expect(await foundIn({})).toBe(0)
    expect(await foundIn({})).toBe(1)
    expect(await foundIn({ lr: 0.01 })).toBe(0)
    expect(await foundIn({ randomState: 7 })).toBe(0)
    expect(await foundIn({ nRuns: 2 })).toBe(1)
  })

  it('writes the same numbers to results.json and results.csv', async () => {
    const place = directory({})
    const results = await lab.runLab(small, { directory: place })
    expect(JSON.parse(fs.readFileSync(path.join(place, 'results.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(results)),
    )
    const rows = parse(fs.readFileSync(path.join(place, 'results.csv')), { columns: true }) as Record<
      string,
      string
    >[]
    expect(rows.length).toBe(3 * 2 * 3)
    for (const { name, runs } of results.variants) {
      for (const run of runs) {
        const mine = rows.filter(row => row.variant === name && Number(row.seed) === run.seed)
        expect(mine.map(row => Number(row.epoch))).toEqual([1, 2, 3])
        expect(mine.map(row => Number(row.validation_loss))).toEqual(run.validationLoss)
        expect(mine.map(row => Number(row.train_loss))).toEqual(run.trainLoss)
        expect(mine.map(row => row.gate_mean === '')).toEqual([1, 2, 3].map(() => run.gate === undefined))
      }
    }
  })

  it('runs from a program that is no file', () => {
    const program = `
      const { runLab } = await import(${JSON.stringify(entry)})
      const { variants } = await runLab({ nSamples: 100, nFeatures: 6, epochs: 1, nRuns: 1, activations: ['relu'] })
      console.log(variants[0].runs.length)`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    })
    expect(stdout.trim()).toBe('1')
  })

  it('an error in a worker arrives with its code', async () => {
    const options: LabOptions = { ...small, activations: ['silu'], optimizer: 'sgd', lr: 1e30 }
    await expect(lab.runLab(options)).rejects.toMatchObject({ code: 'LAB_LOSS_NOT_FINITE', exitCode: 1 })
  })

  it('wrong options are named, all of them', async () => {
    const wrong = { epochs: 0, activations: ['rellu'] }
    await expect(lab.runLab(wrong)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringMatching(/epochs: .*activations\[0\]: there is no activation "rellu"/),
    })
  })
})
