// What an activation is. The catalog, the kernels, the trainer, the engine, the lab, the help texts and the plots all
// read the same entry.

import type { LearnedParameter, Settings } from './parameters.js'
import type { ActivationPrograms } from './programs.js'

export type { LearnedParameter, Settings } from './parameters.js'

/** How the hot path names an activation that has a fused kernel; the numbers are shared with native/kernels.h. */
export const FusedKernel = {
  relu: 0,
  silu: 1,
  stochaIdentity: 2,
  stochaSilu: 3,
  stochaDrawn: 4,
  relu2: 5,
  gelu: 6,
  geluTanh: 7,
  fatrelu: 8,
} as const
export type FusedKernel = (typeof FusedKernel)[keyof typeof FusedKernel]

/**
 * Row-wise entries with a fused kernel: the neurons that are kept (the `at` largest of a row, those of the `at` largest
 * magnitudes, or what stands above mean + `at` standard deviations, by how far it does), and what is applied to them.
 * The words' indices are shared with native/kernels.h.
 */
export interface RowSelection {
  readonly keep: (typeof keptNeurons)[number]
  readonly act: (typeof keptActivations)[number]
  readonly at: (width: number) => number
}
export const keptNeurons = ['value', 'magnitude', 'above'] as const
export const keptActivations = ['relu', 'identity', 'gelu', 'silu'] as const

/**
 * What shares one draw: every element its own; a neuron (column) for the whole batch; a token (row); the rows of one
 * sample (`Draw.rowsPerSample`); the whole batch (one draw per step).
 */
export const drawUnits = ['element', 'neuron', 'token', 'sample', 'batch'] as const
export type DrawPer = (typeof drawUnits)[number]

/**
 * One activation with its settings bound: `parseActivation('stocha:p=0.7')` gives one.
 *
 * Learned parameters travel beside it as one flat buffer per layer, laid out by `parameterLayout(act, width)`: first
 * the parameters that the layer shares, then for each parameter of a neuron a row of `width`.
 * Functions here that take no width take the parameters of one neuron (width 1), by default the start values.
 */
export interface Activation {
  /** Canonical spelling with all settings (but for per=element), `stocha:p=0.7,positive=identity`; parses back to an equal entry. */
  readonly spec: string
  /** The name alone, e.g. `stocha`. */
  readonly name: string
  readonly settings: Settings
  /** The same activation with other settings, cheaply: what a schedule calls at every step. Throws ActivationError. */
  with(settings: Settings): Activation

  /**
   * f(x). `draw` is a uniform number in [0, 1); entries with `draws === false` ignore it; for one that needs several
   * independent draws (`drawChannels`) give an array. Row-wise entries treat x as a row of one neuron.
   */
  forward(x: number, draw: number | ArrayLike<number>, parameters?: ArrayLike<number>): number
  /** What the backward pass uses for df/dx, given the forward pass's draw: the derivative of the branch taken. */
  derivative(x: number, draw: number | ArrayLike<number>, parameters?: ArrayLike<number>): number
  /** ∂f/∂θ for every number of the flat parameter buffer of one neuron. */
  parameterDerivatives(x: number, draw: number | ArrayLike<number>, parameters?: ArrayLike<number>): number[]

  /** `x·σ(x)`; draws are written u, learned parameters and settings by their names. */
  readonly formula: string
  readonly derivativeFormula: string
  /** Why the derivative is deliberately not that of the value (straight-through entries); absent when it is. */
  readonly surrogate?: string

  /** Parameters that training changes, the layer's before the neurons'; most entries have none. */
  readonly learned: readonly LearnedParameter[]

  /** Whether the value depends on draws. */
  readonly draws: boolean
  /** Independent draws per element; 0 without draws. */
  readonly drawChannels: number
  readonly drawPer: DrawPer
  /** The mean over draws as an entry of its own, in closed form; absent without draws. */
  readonly expectation?: Activation
  /**
   * Of entries with a learned gate: the gate as an entry of the same parameters, ReLU's weight or probability α(x) in
   * [0, 1], without draws. For plots of what was learned.
   */
  readonly gate?: Activation

  /** Whether some inputs give exactly 0, which the engine then skips. */
  readonly exactZeros: boolean
  /**
   * f(x) is exactly 0 for every x < zeroBelow (drawn entries: when the draw takes the zero branch; at x = zeroBelow
   * itself nothing is said). Absent where there is no such bound that holds whatever was learned.
   */
  readonly zeroBelow?: number
  /** Whether a value depends on other neurons of the same row (top-k, norms, neighbors). */
  readonly rowwise: boolean

  /** What the kernels run; absent for a user's plain functions, which run through `forward` and `derivative`. */
  readonly programs?: ActivationPrograms
  /** The fused kernel and its number (probability of SiLU, threshold of FATReLU), when the hot path has one. */
  readonly fused?: { readonly kernel: FusedKernel; readonly p: number }
  /** The same for entries of a whole row. */
  readonly fusedRows?: RowSelection
  /** Authors, year, arXiv id. */
  readonly source: string
  /** One line on its character: "smooth, non-monotonic, bounded below". */
  readonly character: string
}

/** Where a learned parameter stands in the flat buffer of a layer. */
export interface ParameterPlace extends LearnedParameter {
  readonly offset: number
  /** start.length for the layer's, start.length × width for the neurons'. */
  readonly length: number
}

/** Where each learned parameter stands in the flat buffer of a layer of `width` neurons, in order of offset. */
export function parameterLayout(act: Pick<Activation, 'learned'>, width: number): ParameterPlace[] {
  let offset = 0
  return act.learned.map(parameter => {
    const length = parameter.start.length * (parameter.per === 'layer' ? 1 : width)
    offset += length
    return { ...parameter, offset: offset - length, length }
  })
}

/** Length of the flat parameter buffer of a layer of `width` neurons; 0 for most entries. */
export function parameterCount(act: Pick<Activation, 'learned'>, width: number): number {
  return parameterLayout(act, width).reduce((total, { length }) => total + length, 0)
}

/** The flat parameter buffer at the start of training. */
export function startParameters(act: Pick<Activation, 'learned'>, width: number): Float64Array {
  const values = new Float64Array(parameterCount(act, width))
  for (const { start, offset, length } of parameterLayout(act, width)) {
    for (let i = 0; i < length; i++) values[offset + i] = start[Math.floor((i * start.length) / length)]
  }
  return values
}

/** The flat parameter buffer that pictures are drawn with: the start, where nothing else is declared. */
export function pictureParameters(act: Pick<Activation, 'learned'>, width: number): Float64Array {
  const learned = act.learned.map(parameter => ({
    ...parameter,
    start: parameter.pictured ?? parameter.start,
  }))
  return startParameters({ learned }, width)
}
