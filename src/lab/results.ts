// What the lab found, as it stands in results.json and results.csv. Figures, tables and pages are made from this alone.

import type { MachineInfo } from '../kernels/machine-info.js'
import { type Spread, spreadOf } from '../statistics.js'
import type { LabConfig, Variant } from './options.js'
import type { Uncertainty } from './uncertainty.js'

/** One training; arrays have one entry per epoch, from the first. */
export interface RunRecord {
  seed: number
  /** Mean over the epoch's batches, nats. */
  trainLoss: number[]
  validationLoss: number[]
  /** Share of right answers on the validation set. */
  accuracy: number[]
  /** Fraction of exact zeros among the hidden activations on the validation set. */
  sparsity: number[]
  /** ReLU's weight over all hidden neurons and validation samples; for activations with a learned gate. */
  gate?: {
    mean: number[]
    /** At GATE_QUANTILES. */
    quantiles: number[][]
    /** Shares in GATE_BINS bins of [0, 1]. */
    histogram: number[][]
  }
  /** After the last epoch, where asked for. */
  uncertainty?: Uncertainty
  /** Wall time of this training. */
  seconds: number
}

/** The curves that every run has. */
export const CURVES = ['trainLoss', 'validationLoss', 'accuracy', 'sparsity'] as const
export type Curve = (typeof CURVES)[number]

export interface VariantResult extends Variant {
  /** Layers' widths: 30, 4, 30, 4, 30, 2. */
  readonly widths: readonly number[]
  readonly runs: readonly RunRecord[]
}

export interface LabResults {
  /** Bumped when a field changes its meaning. */
  readonly formatVersion: 1
  readonly name: string
  readonly title: string
  /** ISO 8601. */
  readonly finishedAt: string
  readonly machine: MachineInfo
  readonly config: LabConfig
  readonly data: {
    readonly description: string
    readonly features: number
    readonly classes: number
    readonly trainSamples: number
    readonly validationSamples: number
  }
  readonly seeds: readonly number[]
  readonly variants: readonly VariantResult[]
  /** Wall time of the session that wrote this, on `machine`. */
  readonly seconds: number
  /** Runs that were finished in earlier sessions, perhaps on other machines: not in `seconds`. */
  readonly foundRuns: number
}

/** The state after the last epoch, mean and deviation over runs. */
export interface FinalNumbers {
  readonly trainLoss: Spread
  readonly validationLoss: Spread
  readonly accuracy: Spread
  readonly sparsity: Spread
  readonly gate: Spread | null
}

export function finalNumbers({ runs }: Pick<VariantResult, 'runs'>): FinalNumbers {
  const last = (curve: Curve) => spreadOf(runs.map(run => run[curve][run[curve].length - 1]))
  const gates = runs.flatMap(({ gate }) => (gate === undefined ? [] : [gate.mean[gate.mean.length - 1]]))
  return {
    trainLoss: last('trainLoss'),
    validationLoss: last('validationLoss'),
    accuracy: last('accuracy'),
    sparsity: last('sparsity'),
    gate: gates.length === 0 ? null : spreadOf(gates),
  }
}

/** A run that ends with a training loss of more than so many times that of guessing has learned nothing. */
const DIVERGED_FROM = 10

/**
 * Whether a run diverged: its loss is no finite number, or in the last epoch ten times that of guessing all classes
 * alike, ln(classes), on the samples that it was trained on.
 */
export function isDiverged({ trainLoss, validationLoss }: RunRecord, classes: number): boolean {
  const last = trainLoss[trainLoss.length - 1]
  const finite = Number.isFinite(last) && Number.isFinite(validationLoss[validationLoss.length - 1])
  return !finite || last > DIVERGED_FROM * Math.log(classes)
}

/** The variants without a diverged run, or all when there are none: what axes are scaled to. */
export function convergedVariants({
  variants,
  data,
}: Pick<LabResults, 'variants' | 'data'>): readonly VariantResult[] {
  const converged = variants.filter(({ runs }) => !runs.some(run => isDiverged(run, data.classes)))
  return converged.length === 0 ? variants : converged
}

/** A sentence per variant with runs that diverged; empty when none did. */
export function divergenceWarnings({ variants, data }: Pick<LabResults, 'variants' | 'data'>): string[] {
  return variants.flatMap(({ label, lr, runs }) => {
    const diverged = runs.filter(run => isDiverged(run, data.classes)).length
    if (diverged === 0) return []
    const guessing = Math.log(data.classes).toFixed(2)
    return [
      `${label}: ${diverged} of ${runs.length} ${runs.length === 1 ? 'run' : 'runs'} diverged: the training loss ends above ` +
        `${DIVERGED_FROM} times that of guessing (${guessing}). Try a smaller learning rate (now ${lr})`,
    ]
  })
}

/** One line per variant, seed and epoch. */
export function resultsCsv({ variants }: Pick<LabResults, 'variants'>): string {
  const lines = ['variant,seed,epoch,train_loss,validation_loss,accuracy,sparsity,gate_mean']
  for (const { name, runs } of variants) {
    for (const run of runs) {
      for (let i = 0; i < run.trainLoss.length; i++) {
        const numbers = [run.trainLoss[i], run.validationLoss[i], run.accuracy[i], run.sparsity[i]]
        lines.push([name, run.seed, i + 1, ...numbers, run.gate?.mean[i] ?? ''].join(','))
      }
    }
  }
  return `${lines.join('\n')}\n`
}
