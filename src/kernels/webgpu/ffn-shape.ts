// What the kernels of an FFN are written for, and what they leave for one another in `flags`.

import type { WeightType } from '../weights/types.js'
import { ROWS_PER_WORKGROUP } from './matvec.js'
import { paddedColumns } from './vector-formats.js'

/** Experts of a layer, and how many of them a token takes. */
export interface ExpertsShape {
  readonly count: number
  readonly perToken: number
  /** Whether the factors of the chosen ones are divided by their sum. */
  readonly normalized: boolean
  /** Whether a binding holds the rows of some experts, or some rows of one, alone. */
  readonly inParts: boolean
}

/** The columns of a row of its input that gate and up rows read. */
export interface FeedForwardInput {
  readonly gate: number
  readonly up: number
  /** Where those of up rows begin, and where the next row does: a multiple of 4. */
  readonly upAt: number
  readonly stride: number
}

/** Gate and up rows read the same `width` columns. */
export function wholeInput(width: number): FeedForwardInput {
  return { gate: width, up: width, upAt: 0, stride: paddedColumns(width) }
}

/** Gate rows read the first columns and up rows the others (Spark), which begin where whole vectors do. */
export function splitInput(gate: number, up: number): FeedForwardInput {
  return { gate, up, upAt: paddedColumns(gate), stride: paddedColumns(gate) + paddedColumns(up) }
}

export interface FeedForwardShape {
  readonly gate: WeightType
  /** Of up rows; null in a plain FFN. */
  readonly up: WeightType | null
  /** Of down columns. */
  readonly down: WeightType
  /** hidden_size. */
  readonly width: number
  readonly input: FeedForwardInput
  /** intermediate_size. */
  readonly count: number
  readonly layers: number
  /** Rows that a pass may have. */
  readonly maxRows: number
  /** Whether neurons that are exactly 0 are skipped. */
  readonly skips: boolean
  /** Whether the down projection adds a bias. */
  readonly downBias: boolean
  /** Whether the activation is applied to the up projection too (dReLU). */
  readonly activatesUp: boolean
  /** Of a mixture of experts, whose neurons stand one expert after the other; null: one FFN. */
  readonly experts: ExpertsShape | null
}

/** What of a shape decides where words of `flags` are. */
type FlagShape = Pick<FeedForwardShape, 'layers' | 'maxRows' | 'count'>

/** Words of `flags` of one row of a pass: a word per workgroup of the first kernel, which has a bit per neuron. */
export function flagWords(count: number): number {
  return Math.ceil(count / ROWS_PER_WORKGROUP)
}

/** Words of `flags` in all. */
export function allFlagWords(
  maxRows: number,
  layers: number,
  count: number,
  experts: Pick<ExpertsShape, 'perToken'> | null,
): number {
  return maxRows * (layers + flagWords(count) + 2 * (experts?.perToken ?? 0))
}

/** WGSL for where in `flags` the words of row `wg.y` begin. */
export function flagRow({ layers, maxRows, count }: FlagShape): string {
  return `(${layers * maxRows}u + wg.y * ${flagWords(count)}u)`
}

/** WGSL for where in `flags` the words begin that say of row `wg.y` and slot SLOT which expert was chosen, and with which factor. */
export function choiceAt({
  layers,
  maxRows,
  count,
  experts,
}: FlagShape & Pick<FeedForwardShape, 'experts'>): string {
  const { perToken = 1 } = experts ?? {}
  return `(${maxRows * (layers + flagWords(count))}u + 2u * (wg.y * ${perToken}u + SLOT))`
}

/** Declarations of a kernel that reads neurons: COUNT of each of EXPERTS experts from EXPERT on, from neuron FIRST on. */
export function neuronConstants({ experts }: Pick<FeedForwardShape, 'experts'>): string {
  const ofExperts = `override SLOT: u32 = 0u;
override EXPERT: u32 = 0u;
override EXPERTS: u32 = 1u;
var<workgroup> chosenExpert: u32;`
  return `override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${experts === null ? '' : ofExperts}`
}

/**
 * Statements that declare `expert`, and `expertRow`, where its rows begin in the binding; in a binding without rows of the chosen
 * expert they end the kernel. `read`: WGSL that reads a word of flags.
 */
export function chooseRows(
  shape: FlagShape & Pick<FeedForwardShape, 'experts'>,
  read: (at: string) => string,
): string {
  const { experts } = shape
  if (experts === null) return 'let expert = 0u;\n  let expertRow = 0u;'
  if (!experts.inParts) return `let expert = ${read(choiceAt(shape))};\n  let expertRow = expert * COUNT;`
  // Through the workgroup's memory, since what follows has barriers: all its invocations have to be known to agree.
  return `if (t == 0u) { chosenExpert = ${read(choiceAt(shape))}; }
  let expert = workgroupUniformLoad(&chosenExpert);
  if (expert < EXPERT || expert >= EXPERT + EXPERTS) { return; }
  let expertRow = (expert - EXPERT) * COUNT;`
}
