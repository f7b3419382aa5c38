// What an activation is. The catalogue, the kernels, the trainer and the engine all read the same entry.

/** How the hot path names an activation that has a fused kernel; the numbers are shared with native/activation.h. */
export const FusedKernel = { relu: 0, silu: 1, stochaIdentity: 2, stochaSilu: 3, stochaDrawn: 4 } as const
export type FusedKernel = (typeof FusedKernel)[keyof typeof FusedKernel]

/**
 * One elementwise activation with its parameters bound: `parseActivation('stocha:p=0.7')` gives one.
 *
 * `draw` is a uniform number in [0, 1), one per element; entries with `draws === false` ignore it. The
 * backward pass is given the same draw as the forward pass, so a derivative is that of the branch taken.
 */
export interface Activation {
  /** Canonical spelling with all parameters, e.g. `stocha:p=0.7,positive=identity`; parses back to an equal entry. */
  readonly spec: string
  /** The name alone, e.g. `stocha`. */
  readonly name: string
  forward(x: number, draw: number): number
  derivative(x: number, draw: number): number
  /** Whether the value depends on `draw`. */
  readonly draws: boolean
  /** Whether some inputs give exactly 0, which the engine then skips. */
  readonly exactZeros: boolean
  /** The fused kernel and its parameter, when the hot path has one; otherwise kernels call `forward` in a loop. */
  readonly fused?: { readonly kernel: FusedKernel; readonly p: number }
  /** Authors, year, arXiv id. */
  readonly source: string
  /** One line on its character: "smooth, non-monotonic, bounded below". */
  readonly character: string
}
