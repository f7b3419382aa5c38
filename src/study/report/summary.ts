// The study in numbers: the columns that every table shows, and what was done in sentences. Page, Markdown and console
// all print these, so they cannot disagree.

import {
  amount,
  bytes,
  fixed,
  interval,
  loss,
  MISSING,
  percent,
  perplexity,
  rate,
  ratio,
  signed,
  signedPercent,
} from '../../report/numbers.js'
import { visibleLine } from '../../report/visible-text.js'
import { mean, standardDeviation } from '../../statistics.js'
import {
  baselineOf,
  type Machine,
  type RunResult,
  type Sample,
  type StudyResults,
  type TaskScore,
} from '../results.js'
import { bestOverSeeds, bestRatios, bytesPerToken } from './findings.js'

export interface Column {
  /** What several columns have in common, e.g. `decode f32, tok/s`; empty for a column of its own. */
  readonly group: string
  readonly title: string
  /** Can be left out where there is little room. */
  readonly minor: boolean
  /** Printed values in the order of the runs. */
  readonly cells: readonly Cell[]
}

export interface Cell {
  readonly text: string
  /** Best of its column beyond noise; several are when they cannot be told apart, none when no two can. */
  readonly best: boolean
}

export interface Summary {
  /** Index of what differences are taken to: the run trained and used with SiLU, or else the first. */
  readonly baseline: number
  /** Its label; empty when there are no runs. */
  readonly baselineLabel: string
  readonly quality: readonly Column[]
  /** Benchmarks, groups as their mean; empty where the recipe names none. */
  readonly tasks: readonly Column[]
  readonly speed: readonly Column[]
}

/** What the columns of benchmarks say. */
export const TASKS_NOTE =
  'Benchmarks as lm-evaluation-harness defines them; in brackets the interval of 95 % over resampled questions. ' +
  'Differences are paired: both models answer the same questions, and the same ones are resampled.'

/** Sparsity of a whole model: the mean over its layers. */
export function meanSparsity(evaluation: { readonly sparsity: readonly number[] }): number {
  return mean(evaluation.sparsity)
}

export function summarize(results: StudyResults): Summary {
  const { runs } = results
  const baseline = baselineOf(runs)
  const baselineLabel = visibleLine(runs[baseline]?.label ?? '')
  const against = (
    title: string,
    minor: boolean,
    measure: (run: RunResult, to: RunResult) => [number, (value: number) => string],
  ) =>
    runs.length < 2
      ? []
      : [
          column(
            runs,
            '',
            `${title} vs ${baselineLabel}`,
            run => (run === runs[baseline] ? null : measure(run, runs[baseline])),
            { minor },
          ),
        ]
  const lowestLoss = bestOverSeeds(runs, final => final.loss)
  const quality = [
    column(runs, '', 'validation loss', run => [run.final.loss, value => loss(value) + spreadOf(run)], {
      best: lowestLoss,
    }),
    ...against('loss', false, (run, to) => [run.final.loss - to.final.loss, value => signed(value, 3)]),
    column(runs, '', 'perplexity', run => [run.final.perplexity, perplexity], { best: lowestLoss }),
    ...against('perplexity', true, (run, to) => [
      run.final.perplexity / to.final.perplexity - 1,
      signedPercent,
    ]),
    column(runs, '', 'bits per byte', run => [run.final.bitsPerByte, loss], { best: lowestLoss }),
    column(runs, '', 'sparsity', run => [meanSparsity(run.final), percent], {
      best: bestOverSeeds(runs, final => -meanSparsity(final)),
    }),
    ...parameterColumn(runs),
    ...byteColumns(runs, baseline, baselineLabel),
    column(runs, '', 'training tokens/s', run => [run.trainTokensPerSecond, rate], { minor: true }),
  ]
  return {
    baseline,
    baselineLabel,
    quality,
    tasks: taskColumns(runs, baselineLabel),
    speed: dtypesOf(runs).flatMap(dtype => speedColumns(runs, dtype)),
  }
}

/**
 * For each benchmark and metric a column of values and one of differences to the baseline, with their intervals. acc_bytes,
 * close to acc_norm, is in the results alone.
 */
function taskColumns(runs: readonly RunResult[], baselineLabel: string): Column[] {
  const listed = (runs.find(run => run.tasks !== undefined)?.tasks ?? []).filter(
    ({ inGroup, metric }) => !inGroup && metric !== 'acc_bytes,none',
  )
  return listed.flatMap(({ task, metric }) => {
    const [group, title] = [visibleLine(task), metric.replace(/,none$/, '').replace(',', ' ')]
    const scoreOf = (run: RunResult) =>
      run.tasks?.find(one => one.task === task && one.metric === metric && !one.inGroup)
    const values = column(runs, group, title, run => {
      const score = scoreOf(run)
      return score === undefined ? null : [score.value, value => fixed(value, 3) + range(score, fixed)]
    })
    if (!runs.some(run => scoreOf(run)?.difference !== undefined)) return [values]
    const differences = column(runs, group, `${title} vs ${baselineLabel}`, run => {
      const difference = scoreOf(run)?.difference
      return difference === undefined
        ? null
        : [difference.value, value => signed(value, 3) + range(difference, signed)]
    })
    return [values, differences]
  })
}

function range(
  { interval }: Pick<TaskScore, 'interval'>,
  print: (value: number, digits: number) => string,
): string {
  return interval === null ? '' : ` (${print(interval.low, 3)} to ${print(interval.high, 3)})`
}

/** Parameters, where the runs differ in them. */
function parameterColumn(runs: readonly RunResult[]): Column[] {
  if (new Set(runs.map(run => run.parameters)).size < 2) return []
  return [
    column(runs, '', 'parameters', run => (run.parameters === undefined ? null : [run.parameters, amount])),
  ]
}

/** What a token reads in the last weight type measured, with zeros skipped; also as a part of the baseline's. */
function byteColumns(runs: readonly RunResult[], baseline: number, baselineLabel: string): Column[] {
  if (!runs.some(run => bytesPerToken(run) !== null)) return []
  const base = runs[baseline] === undefined ? null : bytesPerToken(runs[baseline])
  return [
    column(runs, '', 'bytes per token', run => {
      const read = bytesPerToken(run)
      return read === null ? null : [read, bytes]
    }),
    ...(base === null || runs.length < 2
      ? []
      : [
          column(runs, '', `bytes vs ${baselineLabel}`, run => {
            const read = bytesPerToken(run)
            return read === null || run === runs[baseline] ? null : [read / base - 1, signedPercent]
          }),
        ]),
  ]
}

/** Weight types in the order they were measured in. */
export function dtypesOf(runs: readonly Pick<RunResult, 'speed'>[]): string[] {
  return [...new Set(runs.flatMap(run => run.speed.map(speed => speed.dtype)))]
}

/** Rates are not marked: runs are measured one after another, and a machine is never equally fast twice. */
function speedColumns(runs: readonly RunResult[], dtype: string): Column[] {
  const group = `decode ${dtype}, tok/s`
  const speedOf = (run: RunResult) => run.speed.find(speed => speed.dtype === dtype)
  const ratioOf = (run: RunResult) => speedOf(run)?.ratio ?? null
  return [
    column(runs, group, 'dense', run => {
      const speed = speedOf(run)
      return speed === undefined ? null : [speed.dense, rate]
    }),
    column(runs, group, 'sparse', run => {
      const speed = speedOf(run)?.sparse ?? null
      return speed === null ? null : [speed, rate]
    }),
    column(
      runs,
      group,
      'ratio',
      run => {
        const measured = ratioOf(run)
        return measured === null ? null : [measured.median, ratio]
      },
      { best: bestRatios(runs.map(ratioOf)) },
    ),
    column(
      runs,
      group,
      'interval of ratio',
      run => {
        const measured = ratioOf(run)
        return measured === null ? null : [measured.median, () => interval(measured)]
      },
      { minor: true },
    ),
  ]
}

function column(
  runs: readonly RunResult[],
  group: string,
  title: string,
  measure: (run: RunResult) => [value: number, print: (value: number) => string] | null,
  { best, minor = false }: { best?: ReadonlySet<number>; minor?: boolean } = {},
): Column {
  const cells = runs.map((run, i) => {
    const measured = measure(run)
    return measured === null
      ? { text: MISSING, best: false }
      : { text: measured[1](measured[0]), best: best?.has(i) === true }
  })
  return { group, title, minor, cells }
}

/** What was done, in two sentences. */
export function describeStudy(results: StudyResults): [string, string] {
  const { model, training, corpus, runs } = results
  const seeds = seedsOf(runs)
  const shape = [
    `${model.numHiddenLayers} layers`,
    `width ${model.hiddenSize}`,
    `${model.numAttentionHeads} heads${
      model.numKeyValueHeads === model.numAttentionHeads
        ? ''
        : ` over ${model.numKeyValueHeads} key-value heads`
    }`,
    `${model.ffn} FFN of ${fixed(model.intermediateSize, 0)}`,
    `vocabulary ${fixed(model.vocabSize, 0)}`,
  ].join(', ')
  const models =
    runs.length === 1 ? 'One Llama-style model' : `${inWords(runs.length)} Llama-style models, alike in shape`
  const each = runs.length === 1 ? '' : ' each'
  return [
    `${models} (${amount(model.parameters)} parameters: ${shape}), trained on ` +
      `${amount(training.tokensPerRun)} tokens${each} (${fixed(training.steps, 0)} steps of ` +
      `${training.batchSize} × ${training.context} tokens, ${seeds.length === 1 ? 'seed' : 'seeds'} ` +
      `${seeds.join(', ')}) of ${visibleLine(corpus.description)}: ${bytes(corpus.trainBytes)} of text or ` +
      `${amount(corpus.trainTokens)} tokens (${visibleLine(corpus.tokenizer)}), and ` +
      `${bytes(corpus.validationBytes)} held out for validation.`,
    machineSentence(results),
  ]
}

/** Where the timings come from: one machine, or which run was measured on which. */
function machineSentence({ runs, finishedAt }: StudyResults): string {
  const places = machinesOf(runs)
  const finished = `finished ${date(finishedAt)}`
  if (places.length === 1) return `Trained and measured on ${places[0].machine}; ${finished}.`
  const each = places.map(({ machine, labels }) => `${labels.join(', ')} on ${machine}`)
  return (
    `Trained and measured in sessions on different machines, so rates of one run say nothing about another’s: ` +
    `${each.join('; ')}; ${finished}.`
  )
}

/** Each machine in words, with the runs that were trained or measured there. */
export function machinesOf(runs: readonly RunResult[]): { machine: string; labels: string[] }[] {
  const places = new Map<string, Set<string>>()
  for (const { label, machines } of runs) {
    for (const machine of [...machines.training, machines.measuring]) {
      const text = describeMachine(machine)
      places.set(text, (places.get(text) ?? new Set()).add(visibleLine(label)))
    }
  }
  return [...places].map(([machine, labels]) => ({ machine, labels: [...labels] }))
}

function describeMachine({ cpu, cores, threads, backend, isa, node, version }: Machine): string {
  return (
    `${visibleLine(cpu)}, ${threads} of ${cores} cores, ${visibleLine(backend)} kernels ` +
    `(${visibleLine(isa)}), Node ${visibleLine(node)}, Flicker ${visibleLine(version)}`
  )
}

/** Every seed that a run was trained with. */
export function seedsOf(runs: readonly RunResult[]): number[] {
  return [...new Set(runs.flatMap(run => run.perSeed?.map(({ seed }) => seed) ?? [run.seed]))]
}

/** ` ± 0.012`: the deviation of the loss between seeds, where there are several. */
export function spreadOf({ perSeed }: Pick<RunResult, 'perSeed'>): string {
  return perSeed === undefined ? '' : ` ± ${loss(standardDeviation(perSeed.map(({ final }) => final.loss)))}`
}

/** How a sample came to be, on one line. */
export function describeSample({ kind, activation, temperature, seed }: Sample): string {
  const how = {
    sampled: `sampled at temperature ${temperature} · seed ${seed}`,
    greedy: 'greedy',
    stochastic: `activation drawn while decoding, temperature ${temperature} · seed ${seed}`,
  }
  return `${how[kind]} · ${visibleLine(activation)}`
}

function inWords(count: number): string {
  return ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight'][count] ?? String(count)
}

/** `2026-11-21T08:09:38.927Z` as `2026-11-21 08:09 UTC`; anything else as it is. */
export function date(iso: string): string {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/.exec(iso)
  return parts === null ? visibleLine(iso) : `${parts[1]} ${parts[2]} UTC`
}
