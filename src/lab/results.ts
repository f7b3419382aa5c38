// What the lab found, as it stands in results.json and results.csv. Figures, tables and pages are made from this alone.

import type { MachineInfo } from '../kernels/machine-info.js'
import { type Spread, spreadOf } from '../statistics.js'
import type { LabConfig, Variant } from './options.js'
import type { Doubt } from './uncertainty.js'

/** One training; arrays have one entry per epoch, from the first. */
export interface RunRecord {
  seed: number
  /** Mean over the epoch's batches, nats. */
  trainLoss: number[]
  validationLoss: number[]
  /** Share of right answers on the validation set. */
  accuracy: number[]
  /** Share of exact zeros among the hidden activations on the validation set. */
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
  doubt?: Doubt
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
  /** Wall time of this session; runs that were finished before are not in it. */
  readonly seconds: number
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
