// A study: every run of a recipe trained with the same data, seed and budget, then measured; results and report.
// A run that was interrupted resumes; a finished one is not trained again.

import fs from 'node:fs'
import path from 'node:path'
import { stringify } from 'yaml'
import { type PreparedData, prepareData } from '../data/prepare.js'
import { FlickerError } from '../errors.js'
import type { TaskProgress } from '../eval/run-tasks.js'
import { createDirectory, writeFileAtomic } from '../formats/index.js'
import { kernels } from '../kernels/index.js'
import { machineInfo } from '../kernels/machine-info.js'
import { hasBranch, removeBranches, type TrainProgress, type TrainRun, train } from '../train/index.js'
import { type Beginning, sharedBeginnings } from './branches.js'
import { measureRun } from './measure.js'
import { promptOf } from './prompt.js'
import { courseOf, type Recipe, type RunOptions } from './recipe.js'
import { renderMarkdown, renderReport } from './report/index.js'
import {
  type Machine,
  machineOf,
  parseMachines,
  type RunResult,
  runResultSchema,
  type StudyResults,
} from './results.js'
import { mergeSeeds } from './seeds.js'
import { askTasks, type PreparedTasks, prepareTasks, withTaskDifferences } from './tasks.js'

export interface StudyOptions {
  /** Where results and runs go; `runs/<name>` by default. */
  readonly directory?: string
  /** Train and measure again what is finished. */
  readonly fresh?: boolean
  /** As `log` and `sampleTokens` of `train`, for every run. */
  readonly log?: TrainRun['log']
  readonly sampleTokens?: number
  readonly signal?: AbortSignal
  readonly onEvent?: (event: StudyEvent) => void
  /** As `onNotice` of `train`, for every run; by default a warning of the process. */
  readonly onNotice?: (notice: string) => void
}

export type StudyEvent =
  | { readonly kind: 'data'; readonly data: PreparedData }
  | {
      readonly kind: 'run'
      readonly run: RunOptions
      readonly index: number
      readonly runs: number
      /** The earlier run with which this one shares its first steps: they are not trained again. */
      readonly beginning?: Beginning
    }
  | { readonly kind: 'step'; readonly progress: TrainProgress }
  | { readonly kind: 'measuring'; readonly run: RunOptions }
  | { readonly kind: 'answering'; readonly progress: TaskProgress }
  | { readonly kind: 'finished'; readonly result: RunResult; readonly again: boolean }

/**
 * Runs the whole recipe and writes results.json, results.md and report.html into the study's directory. Throws what
 * `train` throws; what was finished before stays.
 */
export async function study(recipe: Recipe, options: StudyOptions = {}): Promise<StudyResults> {
  const directory = options.directory ?? path.join('runs', recipe.name)
  const data = prepareData(recipe)
  options.onEvent?.({ kind: 'data', data })
  // What cannot be measured or written is refused before hours of training.
  const prompt = promptOf(recipe, data)
  const tasks = recipe.tasks === undefined ? null : await prepareTasks(recipe.tasks, data.tokenizer)
  try {
    return await runAll(
      { ...recipe, measure: { ...recipe.measure, prompt } },
      data,
      tasks,
      directory,
      options,
    )
  } finally {
    tasks?.data.close()
  }
}

async function runAll(
  recipe: PromptedRecipe,
  data: PreparedData,
  tasks: PreparedTasks | null,
  directory: string,
  options: StudyOptions,
): Promise<StudyResults> {
  createDirectory(directory)
  const runs: RunResult[][] = []
  let model: StudyResults['model'] | undefined
  const total = recipe.runs.length * (recipe.seeds?.length ?? 1)
  let index = 0
  const beginnings = sharedBeginnings(recipe)
  for (const run of recipe.runs) {
    const ofSeeds: RunResult[] = []
    const beginning = beginnings.get(run)
    const others = beginning && repeated(beginning.run, recipe.seeds, directory)
    const keepAfter = [...beginnings.values()].flatMap(({ run: begun, step }) =>
      begun === run ? [step] : [],
    )
    for (const [i, { run: seeded, directory: place }] of repeated(run, recipe.seeds, directory).entries()) {
      options.onEvent?.({
        kind: 'run',
        run: seeded,
        index: index++,
        runs: total,
        ...(beginning && { beginning }),
      })
      const { result, again, config } = await oneRun(recipe, seeded, data, place, options, {
        tasks,
        keepAfter,
        beginFrom: beginning && others && { directory: others[i].directory, step: beginning.step },
      })
      model ??= config
      ofSeeds.push(result)
      options.onEvent?.({ kind: 'finished', result, again })
    }
    runs.push(ofSeeds)
  }
  for (const run of recipe.runs) {
    for (const { directory: place } of repeated(run, recipe.seeds, directory)) removeBranches(place)
  }
  if (model === undefined) throw new FlickerError('RECIPE_INVALID', 'the recipe has no runs')
  const results = assemble(recipe, data, model, withTaskDifferences(runs.map(mergeSeeds), runs))
  writeFileAtomic(path.join(directory, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileAtomic(path.join(directory, 'results.md'), renderMarkdown(results))
  writeFileAtomic(path.join(directory, 'report.html'), await renderReport(results))
  return results
}

/** A run and its directory: itself, or one for each seed. */
function repeated(run: RunOptions, seeds: readonly number[] | undefined, directory: string) {
  const place = path.join(directory, run.name)
  if (seeds === undefined) return [{ run, directory: place }]
  return seeds.map(seed => ({ run: { ...run, seed }, directory: path.join(place, `seed-${seed}`) }))
}

interface FinishedRun {
  readonly result: RunResult
  readonly config: StudyResults['model']
  /** Measured in an earlier session. */
  readonly again: boolean
}

/** A recipe whose prompt is chosen. */
type PromptedRecipe = Recipe & { readonly measure: { readonly prompt: string } }

async function oneRun(
  recipe: PromptedRecipe,
  run: RunOptions,
  data: PreparedData,
  directory: string,
  options: StudyOptions,
  {
    tasks,
    keepAfter,
    beginFrom,
  }: Pick<TrainRun, 'keepAfter' | 'beginFrom'> & { readonly tasks: PreparedTasks | null },
): Promise<FinishedRun> {
  const { name, label, seed, ffn, intermediateSize, regularizer } = run
  const { strategy: strategyOptions, checkpoint: from } = courseOf(run)
  const training = { ...recipe.training, seed: seed ?? recipe.training.seed }
  const machine = machineOf(machineInfo())
  const trainedOn = trainingMachines(directory, machine)
  const trained = await train({
    directory,
    ...(from === undefined ? { model: modelOf(recipe, ffn, intermediateSize) } : { from }),
    strategy: strategyOptions,
    ...(regularizer !== undefined && { regularizer }),
    training,
    data,
    fresh: options.fresh,
    keepAfter,
    // Without the state (the other run was finished by an earlier session) the steps are trained again: the same bits.
    ...(beginFrom !== undefined && hasBranch(beginFrom.directory, beginFrom.step) && { beginFrom }),
    log: options.log,
    sampleTokens: options.sampleTokens,
    signal: options.signal,
    ...(options.onNotice !== undefined && { onNotice: options.onNotice }),
    onProgress: progress => {
      trainedOn.trains(progress.step)
      options.onEvent?.({ kind: 'step', progress })
    },
  })
  const { model, strategy } = trained
  const config = { ...model.config, parameters: model.parameterCount }

  const file = path.join(directory, 'result.json')
  const key = JSON.stringify([
    recipe.measure,
    training,
    strategyOptions,
    ffn,
    intermediateSize,
    regularizer,
    from,
    // Results of recipes without tasks stay what they are.
    ...(recipe.tasks === undefined ? [] : [recipe.tasks]),
  ])
  const stored = options.fresh === true ? null : readStored(file, key)
  if (stored !== null) return { result: { ...stored, name, label: label ?? name }, config, again: true }

  options.onEvent?.({ kind: 'measuring', run })
  const measured = await measureRun(trained, data, { ...recipe.measure, training, signal: options.signal })
  const scores =
    tasks === null || recipe.tasks === undefined
      ? {}
      : {
          tasks: await askTasks(trained.checkpoint, tasks, {
            ...recipe.tasks,
            directory: path.join(directory, 'tasks'),
            seed: training.seed,
            signal: options.signal,
            onProgress: progress => options.onEvent?.({ kind: 'answering', progress }),
          }),
        }
  const tokens = training.steps * training.batchSize * training.context * training.accumulate
  const result: RunResult = {
    name,
    label: label ?? name,
    description: strategy.description,
    seed: training.seed,
    switchStep: strategy.switchStep,
    steps: training.steps,
    parameters: model.parameterCount,
    curve: trained.curve,
    evaluations: trained.evaluations,
    ...measured,
    ...scores,
    trainSeconds: trained.trainSeconds,
    trainTokensPerSecond: tokens / trained.trainSeconds,
    machines: { training: trainedOn.machines, measuring: machine },
  }
  writeFileAtomic(file, JSON.stringify({ key, result }))
  return { result, config, again: false }
}

/** The recipe's model with the FFN that a run asks for; only Spark has a predictor. */
function modelOf(
  { model }: Recipe,
  ffn = model.ffn,
  intermediateSize = model.intermediateSize,
): Recipe['model'] {
  const { sparkPredictorWidth, ...rest } = model
  return { ...rest, ffn, intermediateSize, ...(ffn === 'spark' && { sparkPredictorWidth }) }
}

/** The measured result of an earlier session, when it was measured in the same way. */
function readStored(file: string, key: string): RunResult | null {
  const stored = readJson(file) as { key?: unknown; result?: unknown } | null
  if (stored?.key !== key) return null
  return runResultSchema.safeParse(stored.result).data ?? null
}

/** What a file holds; null when it is missing or damaged: it is only a record of what can be measured again. */
function readJson(file: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** The machines that a run was trained on, over all sessions: kept in its directory, since its timings belong to them. */
function trainingMachines(directory: string, current: Machine) {
  const file = path.join(directory, 'machines.json')
  let machines = parseMachines(readJson(file)) ?? []
  let noted = false
  return {
    /** To be called after every step of this session. */
    trains: (step: number): void => {
      if (noted) return
      noted = true
      const earlier = step === 1 ? [] : machines
      const key = JSON.stringify(current)
      machines = [...earlier.filter(machine => JSON.stringify(machine) !== key), current]
      writeFileAtomic(file, `${JSON.stringify(machines)}\n`)
    },
    get machines(): Machine[] {
      return machines
    },
  }
}

function assemble(
  recipe: Recipe,
  data: PreparedData,
  model: StudyResults['model'],
  runs: RunResult[],
): StudyResults {
  const { version, ...machine } = machineInfo()
  const { training } = recipe
  return {
    formatVersion: 1,
    name: recipe.name,
    title: recipe.title,
    finishedAt: new Date().toISOString(),
    version,
    machine,
    corpus: {
      description: data.description,
      trainBytes: data.trainBytes,
      validationBytes: data.validationBytes,
      trainTokens: data.train.length,
      validationTokens: data.validation.length,
      tokenizer: data.tokenizer.name,
    },
    model,
    training: {
      steps: training.steps,
      batchSize: training.batchSize * training.accumulate,
      context: training.context,
      tokensPerRun: training.steps * training.batchSize * training.context * training.accumulate,
      learningRate: training.learningRate,
    },
    runs,
    recipe: stringify(recipe),
  }
}

/** Whether this process runs on the portable backend, for which recipes have a smaller variant. */
export function needsPortableRecipe(): boolean {
  return kernels().backend === 'portable'
}
