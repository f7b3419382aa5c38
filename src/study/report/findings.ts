// What a study shows beyond its noise: which runs are the best, and the sentences at the top of the report. Losses are
// compared seed by seed, speeds pass by pass; where the noise is not known, nothing is claimed.

import { differsFrom, type MedianInterval } from '../../paired-measurement.js'
import { fixed, interval, loss, percent, ratio, signed } from '../../report/numbers.js'
import { visibleLine } from '../../report/visible-text.js'
import { mean, meanInterval } from '../../statistics.js'
import type { Evaluation, RunResult, StudyResults } from '../results.js'

/** A model whose mean sparsity is at least this has mostly zeros. */
const MOSTLY_ZEROS = 0.5

/**
 * The runs with the lowest `measure`, by index: the lowest and all that cannot be told from it, seed by seed, with 95 %
 * confidence. Empty where runs have one seed or different ones, and where no run is worse than the lowest.
 */
export function bestOverSeeds(
  runs: readonly RunResult[],
  measure: (final: Evaluation) => number,
): ReadonlySet<number> {
  const means = runs.map(run => measure(run.final))
  const lowest = means.indexOf(Math.min(...means))
  const best = runs.flatMap((run, i) => (i === lowest || !isAbove(run, runs[lowest], measure) ? [i] : []))
  return new Set(best.length === runs.length ? [] : best)
}

/** Whether `measure` of `run` is above that of `other` beyond the noise of seeds that both were trained with. */
function isAbove(run: RunResult, other: RunResult, measure: (final: Evaluation) => number): boolean {
  const others = new Map(other.perSeed?.map(({ seed, final }) => [seed, measure(final)]))
  const differences = (run.perSeed ?? []).flatMap(({ seed, final }) => {
    const value = others.get(seed)
    return value === undefined ? [] : [measure(final) - value]
  })
  return (meanInterval(differences)?.low ?? 0) > 0
}

/**
 * The largest speed-ups, by index: of the ratios that are above 1 beyond noise the one with the highest median, and those
 * whose intervals overlap with its. Empty where that is all that were measured.
 */
export function bestRatios(ratios: readonly (MedianInterval | null)[]): ReadonlySet<number> {
  const measured = ratios.flatMap((one, i) => (one === null ? [] : [{ ...one, i }]))
  const faster = measured.filter(one => differsFrom(one, 1) && one.median > 1)
  if (faster.length === 0) return new Set()
  const top = faster.reduce((a, b) => (b.median > a.median ? b : a))
  const best = faster.filter(one => one.high >= top.low)
  return new Set(best.length === measured.length ? [] : best.map(({ i }) => i))
}

/** Bytes that a token reads in the last weight type measured, inactive neurons skipped where there are any. */
export function bytesPerToken(run: Pick<RunResult, 'speed'>): number | null {
  const speed = run.speed.at(-1)
  return speed?.sparseBytes ?? speed?.denseBytes ?? null
}

/** What stands out, each a sentence of measured facts. */
export function findings({ runs }: StudyResults): string[] {
  if (runs.length === 0) return []
  const best = lowest(runs)
  const sparse = runs.filter(run => mean(run.final.sparsity) >= MOSTLY_ZEROS)
  return [
    ...headline(runs),
    lossFinding(runs, best),
    ...(sparse.length > 0 && !sparse.includes(best) ? [sparseFinding(lowest(sparse), best)] : []),
    ...speedFindings(runs),
  ]
}

/**
 * What zeros cost and what they are worth, for the sparsest run: its loss against SiLU's, the bytes of a token, and what a
 * large model with the same zeros could gain. Empty without a run with SiLU to compare with, or one with mostly zeros.
 */
function headline(runs: readonly RunResult[]): string[] {
  const baseline = runs.find(run => run.final.activation === 'silu' && run.switchStep === null)
  const sparsest = runs.reduce((a, b) => (mean(b.final.sparsity) > mean(a.final.sparsity) ? b : a))
  if (baseline === undefined || mean(sparsest.final.sparsity) < MOSTLY_ZEROS) return []
  const [own, dense] = [sparsest, baseline].map(bytesPerToken)
  const read =
    own === null || dense === null ? '' : `, reading ${percent(own / dense, 0)} of its bytes per token`
  return [
    `Sparsest: ${visibleLine(sparsest.label)}, ${percent(mean(sparsest.final.sparsity))} zeros at ` +
      `${signed(sparsest.final.loss - baseline.final.loss, 3)} nats per token against ${visibleLine(baseline.label)}${read}. ` +
      `A model of 1.5 billion parameters with these zeros in its layers reads 1/${fixed(largeModelLimit(sparsest.final.sparsity), 2)} ` +
      `of its bytes; measure it with ${benchCommand(sparsest.final.sparsity)}.`,
  ]
}

/** Of sparselm-1.5b (`flicker bench decode`): width, FFN, layers, vocabulary. */
const LARGE = { width: 2048, neurons: 5632, layers: 28, vocabulary: 49_152 }

/**
 * Bytes of a token of a 1.5 B model with gated FFNs over those with these zeros, the study's layers spread over its own:
 * embedding as head, four matrices of attention, the gate, and of up and down the rows of active neurons.
 */
export function largeModelLimit(sparsity: readonly number[]): number {
  const { width, neurons, layers, vocabulary } = LARGE
  const others = vocabulary * width + layers * (4 * width * width + width * neurons)
  const rows = layers * 2 * width * neurons
  return (others + rows) / (others + rows * (1 - mean(sparsity)))
}

function benchCommand(sparsity: readonly number[]): string {
  return `flicker bench decode --sparsity ${sparsity.map(zeros => zeros.toFixed(3)).join(',')}`
}

function lossFinding(runs: readonly RunResult[], best: RunResult): string {
  const what =
    `Lowest validation loss: ${visibleLine(best.label)}, ${loss(best.final.loss)} nats per token ` +
    `(${loss(best.final.bitsPerByte)} bits per byte)`
  if (runs.length === 1) return `${what}.`
  const next = lowest(runs.filter(run => run !== best))
  const behind = `${visibleLine(next.label)} is ${loss(next.final.loss - best.final.loss)} behind`
  if (best.perSeed === undefined) {
    return `${what}; ${behind}. Each run has one seed, so whether this order holds for others is not known from here.`
  }
  const tied = runs.filter(run => run !== best && !isAbove(run, best, final => final.loss))
  const verdict =
    tied.length === 0
      ? 'a difference beyond the noise of seeds'
      : `over ${best.perSeed.length} seeds it cannot be told from ${tied.map(run => visibleLine(run.label)).join(', ')}`
  return `${what}; ${behind}, ${verdict}.`
}

function sparseFinding(run: RunResult, best: RunResult): string {
  return (
    `Lowest among the models with mostly zeros: ${visibleLine(run.label)}, ${loss(run.final.loss)} ` +
    `(${signed(run.final.loss - best.final.loss, 3)}) at ${percent(mean(run.final.sparsity))} sparsity.`
  )
}

/** One sentence per weight type: in how many models skipping zeros pays, and by how much. */
function speedFindings(runs: readonly RunResult[]): string[] {
  const dtypes = [...new Set(runs.flatMap(run => run.speed.map(speed => speed.dtype)))]
  return dtypes.flatMap(dtype => {
    const measured = runs.flatMap(({ label, speed }) => {
      const found = speed.find(one => one.dtype === dtype)?.ratio ?? null
      return found === null ? [] : [{ label: visibleLine(label), ...found }]
    })
    if (measured.length === 0) return []
    const [faster, slower] = [
      measured.filter(one => differsFrom(one, 1) && one.median > 1),
      measured.filter(one => differsFrom(one, 1) && one.median < 1),
    ]
    const unclear = measured.filter(one => !faster.includes(one) && !slower.includes(one))
    const parts = [
      ...(faster.length > 0 ? [`${ratiosOf(faster)} as fast for ${namesOf(faster)}`] : []),
      ...(slower.length > 0 ? [`only ${ratiosOf(slower)} as fast for ${namesOf(slower)}`] : []),
      ...(unclear.length > 0 ? [`no different beyond noise for ${namesOf(unclear)}`] : []),
    ]
    return [`Skipping zeros, ${dtype}: decoding is ${parts.join(', ')}.`]
  })
}

function ratiosOf(measured: readonly MedianInterval[]): string {
  const sorted = measured.toSorted((a, b) => a.median - b.median)
  const [least, most] = [sorted[0], sorted[sorted.length - 1]]
  return measured.length === 1
    ? `${ratio(least.median)} (${interval(least)})`
    : `${ratio(least.median)} to ${ratio(most.median)}`
}

/** `SiLU, ReLU`, or how many where names would fill the page. */
function namesOf(measured: readonly { label: string }[]): string {
  return measured.length <= 4 ? measured.map(({ label }) => label).join(', ') : `${measured.length} models`
}

function lowest(runs: readonly RunResult[]): RunResult {
  return runs.reduce((a, b) => (b.final.loss < a.final.loss ? b : a))
}
