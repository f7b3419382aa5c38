// The methods of `flicker sparsify`: for each, which vector is cut, the score of its element j, and how the level becomes
// cuts. They differ in nothing else. Sources: docs/sparsify.md.

import { OptionError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import { MATRICES, type MatrixName } from '../nn/cuts.js'

export const METHOD_NAMES = ['cats', 'chess', 'cett', 'teal', 'wina', 'rsparse', 'larosa'] as const
export type MethodName = (typeof METHOD_NAMES)[number]

/**
 * `magnitude`: |x_j|. `mean-up`: |x_j| · mean over tokens of |up_j · x|. `contribution`: |x_j| · ‖W[:, j]‖₂, the length of
 * what element j adds to the output. `column-norm`: the same number, of a matrix whose output is not the layer's.
 */
export type Score = 'magnitude' | 'mean-up' | 'contribution' | 'column-norm'

export interface Method {
  readonly name: MethodName
  readonly title: string
  readonly source: string
  /** The score of activation(gate · x), whose zeros skip up rows and down columns; or null. */
  readonly neurons: Score | null
  /** The scores of the inputs of matrices. */
  readonly inputs: Readonly<Partial<Record<MatrixName, Score>>>
  /** A limit for the scores, fixed by calibration; or so many of the largest scores at each token. */
  readonly cut: 'threshold' | 'top'
  /**
   * How a level becomes the levels of matrices: the same for all; greedily, where the output of the layer changes least
   * for the weights saved; one error for all layers (CETT), so that the level is met over the whole model; the same for all,
   * each matrix's part divided between input channels and a low-rank term (`split`); or 0.8 of it for rotated inputs, 1.2 of it
   * for the others (`rotated`).
   */
  readonly allocation: 'uniform' | 'greedy' | 'error' | 'split' | 'rotated'
  /** What the level counts. */
  readonly counts: 'neurons' | 'weights'
}

const of = (score: Score) => Object.fromEntries(MATRICES.map(matrix => [matrix, score]))

export const METHODS: Readonly<Record<MethodName, Method>> = {
  cats: {
    name: 'cats',
    title: 'CATS',
    source: 'Lee et al. 2024, arXiv 2404.08763',
    neurons: 'magnitude',
    inputs: {},
    cut: 'threshold',
    allocation: 'uniform',
    counts: 'neurons',
  },
  chess: {
    name: 'chess',
    title: 'CHESS',
    source: 'He et al. 2024, arXiv 2409.01366',
    neurons: 'mean-up',
    inputs: {},
    cut: 'threshold',
    allocation: 'uniform',
    counts: 'neurons',
  },
  cett: {
    name: 'cett',
    title: 'CETT',
    source: 'Luo et al. 2024, arXiv 2411.02335',
    neurons: null,
    inputs: { down: 'contribution' },
    cut: 'threshold',
    allocation: 'error',
    counts: 'neurons',
  },
  teal: {
    name: 'teal',
    title: 'TEAL',
    source: 'Liu et al. 2024, arXiv 2408.14690',
    neurons: null,
    inputs: of('magnitude'),
    cut: 'threshold',
    allocation: 'greedy',
    counts: 'weights',
  },
  wina: {
    name: 'wina',
    title: 'WINA',
    source: 'Chen et al. 2025, arXiv 2505.19427',
    neurons: null,
    inputs: { ...of('magnitude'), k: 'column-norm', gate: 'column-norm' },
    cut: 'top',
    allocation: 'greedy',
    counts: 'weights',
  },
  rsparse: {
    name: 'rsparse',
    title: 'R-Sparse',
    source: 'Zhang et al. 2025, arXiv 2504.19449',
    neurons: null,
    inputs: of('column-norm'),
    cut: 'threshold',
    allocation: 'split',
    counts: 'weights',
  },
  larosa: {
    name: 'larosa',
    title: 'LaRoSa',
    source: 'Liu et al. 2025, arXiv 2507.01299',
    neurons: null,
    inputs: of('magnitude'),
    cut: 'top',
    allocation: 'rotated',
    counts: 'weights',
  },
}

/** Whether the method can cut this model's FFN. */
export function isApplicable({ neurons }: Method, { ffn }: Pick<ModelConfig, 'ffn'>): boolean {
  return ffn === 'gated' || (neurons === null && ffn === 'plain')
}

/** Throws OptionError METHOD_FFN where the method cannot cut this model's FFN. */
export function requireApplicable(
  method: Method,
  { ffn, experts }: Pick<ModelConfig, 'ffn' | 'experts'>,
): void {
  if (experts !== undefined) {
    throw new OptionError(
      'METHOD_EXPERTS',
      `method ${method.name}: this model is a mixture of ${experts.count} experts, and only models with one FFN per layer can be cut; use one of these`,
    )
  }
  if (isApplicable(method, { ffn })) return
  const { name, title, neurons } = method
  const others = METHOD_NAMES.filter(other => METHODS[other].neurons === null).join(', ')
  throw new OptionError(
    'METHOD_FFN',
    neurons !== null && ffn === 'plain'
      ? `method ${name}: ${title} cuts what a gate leaves, and this model's FFN has no gate; use ${others}`
      : `method ${name}: the FFN of this model is ${ffn}, and only gated and plain ones can be cut; train it to be sparse instead`,
  )
}

/** Throws OptionError SPARSITY_RANGE unless 0 < level < 1. */
export function requireLevel(level: number): void {
  if (level > 0 && level < 1) return
  throw new OptionError(
    'SPARSITY_RANGE',
    `sparsity must be above 0 and below 1, not ${level}; 0.5 cuts a half`,
  )
}
