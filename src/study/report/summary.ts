// The study in numbers and sentences: the columns every table shows, what the best value is, and what stands out.
// Page, Markdown and console all print these, so they cannot disagree.

import {
  amount,
  bytes,
  fixed,
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
import type { RunResult, Sample, StudyResults } from '../results.js'

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
  /** The best of its column; never set when there is nothing to compare. */
  readonly best: boolean
}

export interface Summary {
  /** Index of what differences are taken to: the run trained and used with SiLU, or else the first. */
  readonly baseline: number
  /** Its label; empty when there are no runs. */
  readonly baselineLabel: string
  readonly quality: readonly Column[]
  readonly speed: readonly Column[]
}

/** Sparsity of a whole model: the mean over its layers. */
export function meanSparsity(evaluation: { readonly sparsity: readonly number[] }): number {
  return mean(evaluation.sparsity)
}

export function summarize(results: StudyResults): Summary {
  const { runs } = results
  const baseline = Math.max(
    0,
    runs.findIndex(run => run.final.activation === 'silu' && run.switchStep === null),
  )
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
            null,
            run => (run === runs[baseline] ? null : measure(run, runs[baseline])),
            minor,
          ),
        ]
  const quality = [
    column(runs, '', 'validation loss', 'low', run => [run.final.loss, value => loss(value) + spreadOf(run)]),
    ...against('loss', false, (run, to) => [run.final.loss - to.final.loss, value => signed(value, 3)]),
    column(runs, '', 'perplexity', 'low', run => [run.final.perplexity, perplexity]),
    ...against('perplexity', true, (run, to) => [
      run.final.perplexity / to.final.perplexity - 1,
      signedPercent,
    ]),
    column(runs, '', 'bits per byte', 'low', run => [run.final.bitsPerByte, loss]),
    column(runs, '', 'sparsity', 'high', run => [meanSparsity(run.final), percent]),
    column(runs, '', 'training tokens/s', 'high', run => [run.trainTokensPerSecond, rate], true),
  ]
  return {
    baseline,
    baselineLabel,
    quality,
    speed: dtypesOf(runs).flatMap(dtype => speedColumns(runs, dtype)),
  }
}

/** Weight types in the order they were measured in. */
export function dtypesOf(runs: readonly Pick<RunResult, 'speed'>[]): string[] {
  return [...new Set(runs.flatMap(run => run.speed.map(speed => speed.dtype)))]
}

function speedColumns(runs: readonly RunResult[], dtype: string): Column[] {
  const group = `decode ${dtype}, tok/s`
  const speedOf = (run: RunResult) => run.speed.find(speed => speed.dtype === dtype)
  return [
    column(runs, group, 'dense', null, run => {
      const speed = speedOf(run)
      return speed === undefined ? null : [speed.dense, rate]
    }),
    column(runs, group, 'sparse', 'high', run => {
      const speed = speedOf(run)?.sparse ?? null
      return speed === null ? null : [speed, rate]
    }),
    column(runs, group, 'ratio', 'high', run => {
      const speed = speedOf(run)
      return speed === undefined || speed.sparse === null || speed.dense === 0
        ? null
        : [speed.sparse / speed.dense, ratio]
    }),
  ]
}

/** The best is marked by what is printed: values that look the same are equally good. */
function column(
  runs: readonly RunResult[],
  group: string,
  title: string,
  better: 'low' | 'high' | null,
  measure: (run: RunResult) => [value: number, print: (value: number) => string] | null,
  minor = false,
): Column {
  const measured = runs.map(measure)
  const texts = measured.map(m => (m === null ? MISSING : m[1](m[0])))
  const values = measured.flatMap(m => (m === null ? [] : [m[0]]))
  const best = better === 'low' ? Math.min(...values) : Math.max(...values)
  const bestText = texts[measured.findIndex(m => m?.[0] === best)]
  const distinct = new Set(texts.filter(text => text !== MISSING)).size > 1
  const cells = texts.map(text => ({ text, best: better !== null && distinct && text === bestText }))
  return { group, title, minor, cells }
}

/** What was done, in two sentences. */
export function describeStudy(results: StudyResults): [string, string] {
  const { model, training, corpus, machine, runs } = results
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
    `Trained and measured by Flicker ${visibleLine(results.version)} on ${visibleLine(machine.cpu)}, ` +
      `${machine.threads} of ${machine.cores} cores, ${visibleLine(machine.backend)} kernels ` +
      `(${visibleLine(machine.isa)}), Node ${visibleLine(machine.node)}; finished ${date(results.finishedAt)}.`,
  ]
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
  const drawn = `${visibleLine(activation)}, temperature ${temperature}`
  return kind === 'greedy' ? `greedy · ${drawn}` : `seed ${seed} · ${drawn}`
}

/** What stands out, each a sentence of measured facts. */
export function findings(results: StudyResults): string[] {
  const { runs } = results
  if (runs.length === 0) return []
  const best = lowestLoss(runs)
  const found = [
    `Lowest validation loss: ${visibleLine(best.label)}, ${loss(best.final.loss)} nats per token ` +
      `(${loss(best.final.bitsPerByte)} bits per byte).`,
  ]
  const sparse = runs.filter(run => meanSparsity(run.final) >= 0.5)
  if (sparse.length > 0 && !sparse.includes(best)) {
    const run = lowestLoss(sparse)
    found.push(
      `Lowest among the models with mostly zeros: ${visibleLine(run.label)}, ${loss(run.final.loss)} ` +
        `(${signed(run.final.loss - best.final.loss, 3)}) at ${percent(meanSparsity(run.final))} sparsity.`,
    )
  }
  const speedUps = runs.flatMap(run =>
    run.speed.flatMap(speed =>
      speed.sparse === null || speed.dense === 0
        ? []
        : [{ run, ...speed, sparse: speed.sparse, by: speed.sparse / speed.dense }],
    ),
  )
  if (speedUps.length > 0) {
    const top = speedUps.reduce((a, b) => (b.by > a.by ? b : a))
    const from = `${visibleLine(top.run.label)}, ${top.dtype}: ${rate(top.dense)} → ${rate(top.sparse)} tokens/s`
    found.push(
      top.by > 1
        ? `Skipping zeros makes decoding up to ${ratio(top.by)} as fast (${from}).`
        : `Skipping zeros did not make decoding faster here: ${ratio(top.by)} at best (${from}).`,
    )
  }
  return found
}

function lowestLoss(runs: readonly RunResult[]): RunResult {
  return runs.reduce((a, b) => (b.final.loss < a.final.loss ? b : a))
}

function inWords(count: number): string {
  return ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight'][count] ?? String(count)
}

/** `2026-11-21T08:09:38.927Z` as `2026-11-21 08:09 UTC`; anything else as it is. */
export function date(iso: string): string {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/.exec(iso)
  return parts === null ? visibleLine(iso) : `${parts[1]} ${parts[2]} UTC`
}
