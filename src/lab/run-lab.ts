// The lab: every variant with every seed, over worker threads, with results on disk.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { z } from 'zod'
import { loadActivationFiles, loadedActivationFiles } from '../activations/index.js'
import { TrainingError } from '../errors.js'
import { writeFileAtomic } from '../formats/atomic.js'
import { createDirectory } from '../formats/storage.js'
import { kernels, warnWithoutAddon } from '../kernels/index.js'
import { machineInfo } from '../kernels/machine-info.js'
import { checkOptions } from '../schema-issues.js'
import { type LabData, type LabSplit, labDataSchema, loadLabData } from './data/index.js'
import { stackWidths } from './layout.js'
import { type LabConfig, type LabOptions, labSchema, type Variant, variantsOf } from './options.js'
import { type Job, runJobs } from './pool.js'
import { type LabResults, type RunRecord, resultsCsv } from './results.js'
import { runStore } from './run-store.js'

export interface LabProgress {
  readonly runs: number
  readonly finishedRuns: number
  /** Of these, found finished from an earlier session. */
  readonly foundRuns: number
  readonly epochs: number
  readonly finishedEpochs: number
  readonly secondsLeft: number
}

export interface LabRunOptions {
  /** Where results.json, results.csv and finished runs go; without it nothing is written. */
  readonly directory?: string
  /** Train again what is finished. */
  readonly fresh?: boolean
  /** Stops after the epochs at work; finished runs are kept, and `runLab` throws INTERRUPTED. */
  readonly signal?: AbortSignal
  readonly onData?: (data: LabData) => void
  readonly onProgress?: (progress: LabProgress) => void
  /** Activations may be paths of files, whose code then runs (default false). */
  readonly allowCode?: boolean
}

/**
 * Trains every variant `nRuns` times and returns what was measured. The numbers depend on the options and the kernels
 * alone, not on the number of workers or on interruptions. Throws OptionError, what `loadLabData` throws, TrainingError
 * (LAB_LOSS_NOT_FINITE, INTERRUPTED), StorageError.
 */
export async function runLab(options: LabOptions = {}, run: LabRunOptions = {}): Promise<LabResults> {
  loadActivationFiles(options, run.allowCode)
  const config = checkOptions(labSchema, options)
  const variants = variantsOf(config)
  const data = loadLabData(dataOptions(config))
  run.onData?.(data)
  const seeds = Array.from({ length: config.nRuns }, (_, i) => config.seed + i)
  const { backend, isa } = kernels()
  warnWithoutAddon()
  const files = loadedActivationFiles().map(file => fs.readFileSync(file, 'utf8'))
  const basis = [2, backend, isa, fingerprint(data), config.uncertainty ?? null, files]
  const store = run.directory === undefined ? null : runStore(path.join(run.directory, 'runs'), basis)

  const records = new Map<string, RunRecord>()
  const keyOf = ({ variant, seed }: Job) => `${variant.name} ${seed}`
  const jobs: Job[] = []
  for (const variant of variants) {
    for (const seed of seeds) {
      const found = run.fresh === true ? null : (store?.load({ variant, seed }) ?? null)
      if (found === null) jobs.push({ variant, seed })
      else records.set(keyOf({ variant, seed }), found)
    }
  }

  // What cannot be written is refused before training.
  if (run.directory !== undefined) createDirectory(run.directory)
  const foundRuns = records.size
  const started = performance.now()
  const report = progressOf(jobs, records.size, run.onProgress)
  const finished = await runJobs(jobs, data, {
    workers: config.nWorkers,
    uncertainty: config.uncertainty,
    signal: run.signal,
    onFinished: (job, record) => {
      store?.save(job, record)
      records.set(keyOf(job), record)
      report.finished()
    },
    onEpochs: report.epochs,
  })
  if (!finished) {
    const kept = store === null ? '' : '; finished runs are kept, and the same command resumes'
    throw new TrainingError(
      'INTERRUPTED',
      `stopped after ${records.size} of ${variants.length * seeds.length} runs${kept}`,
      {
        exitCode: 130,
      },
    )
  }

  const results: LabResults = {
    formatVersion: 1,
    name: config.name,
    title: config.title,
    finishedAt: new Date().toISOString(),
    machine: machineInfo(),
    config,
    data: {
      description: data.description,
      features: data.features,
      classes: data.classes,
      trainSamples: data.train.samples,
      validationSamples: data.validation.samples,
    },
    seeds,
    variants: variants.map(variant => ({
      ...variant,
      widths: widthsOf(variant, data),
      runs: seeds.map(seed => records.get(keyOf({ variant, seed })) as RunRecord),
    })),
    seconds: (performance.now() - started) / 1000,
    foundRuns,
  }
  if (run.directory !== undefined) {
    writeFileAtomic(path.join(run.directory, 'results.json'), `${JSON.stringify(results)}\n`)
    writeFileAtomic(path.join(run.directory, 'results.csv'), resultsCsv(results))
  }
  return results
}

/** The part of the options that the data has. */
function dataOptions(config: LabConfig): z.output<typeof labDataSchema> {
  const entries = Object.entries(config).filter(([key]) => key in labDataSchema.shape)
  // `config` has passed a schema that holds every key of this one.
  return Object.fromEntries(entries) as z.output<typeof labDataSchema>
}

function widthsOf(variant: Variant, { features, classes }: LabData): number[] {
  const { nLayers, bottleneck = Math.min(4, features) } = variant
  return stackWidths({ features, classes, nLayers, bottleneck })
}

/** A hash of all numbers that runs are trained and measured on. */
function fingerprint({ train, validation }: LabData): string {
  const hash = createHash('sha256')
  const add = ({ x, y }: LabSplit) => {
    for (const { buffer, byteOffset, byteLength } of [x, y])
      hash.update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  add(train)
  add(validation)
  return hash.digest('hex')
}

/** Counts what is done, and estimates the time left from the rate of this session. */
function progressOf(jobs: readonly Job[], foundRuns: number, onProgress: LabRunOptions['onProgress']) {
  const started = performance.now()
  const epochs = jobs.reduce((sum, { variant }) => sum + variant.epochs, 0)
  let finishedRuns = 0
  let finishedEpochs = 0
  const tell = () => {
    const seconds = (performance.now() - started) / 1000
    const secondsLeft =
      finishedEpochs === 0 ? Number.NaN : (seconds / finishedEpochs) * (epochs - finishedEpochs)
    onProgress?.({
      runs: jobs.length + foundRuns,
      finishedRuns: finishedRuns + foundRuns,
      foundRuns,
      epochs,
      finishedEpochs,
      secondsLeft,
    })
  }
  tell()
  return {
    finished: () => {
      finishedRuns++
      tell()
    },
    epochs: (done: number) => {
      finishedEpochs = done
      tell()
    },
  }
}
