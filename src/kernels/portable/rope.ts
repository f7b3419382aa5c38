// Rotary position embedding, forward and backward, in Hugging Face's half-split layout.
// Su et al. 2021, arXiv 2104.09864.

import type { Floats } from '../interface/training.js'

/**
 * x (rows, heads·headDim) → out, same shape: elements i and i + headDim/2 of each head turn by the angle with
 * cosine cos[t, i] and sine sin[t, i], t = row mod seq; cos, sin: (seq, headDim/2).
 */
export function rope(
  x: Floats,
  cos: Floats,
  sin: Floats,
  out: Floats,
  rows: number,
  seq: number,
  heads: number,
  headDim: number,
): void {
  const half = headDim / 2
  for (let row = 0; row < rows; row++) {
    const angles = (row % seq) * half
    for (let head = 0; head < heads; head++) {
      const first = (row * heads + head) * headDim
      for (let i = 0; i < half; i++) {
        const c = cos[angles + i]
        const s = sin[angles + i]
        const x1 = x[first + i]
        const x2 = x[first + half + i]
        out[first + i] = x1 * c - x2 * s
        out[first + half + i] = x2 * c + x1 * s
      }
    }
  }
}

/** dX += dOut turned by the opposite angles; shapes as in `rope`. */
export function ropeBackward(
  dOut: Floats,
  cos: Floats,
  sin: Floats,
  dX: Floats,
  rows: number,
  seq: number,
  heads: number,
  headDim: number,
): void {
  const half = headDim / 2
  for (let row = 0; row < rows; row++) {
    const angles = (row % seq) * half
    for (let head = 0; head < heads; head++) {
      const first = (row * heads + head) * headDim
      for (let i = 0; i < half; i++) {
        const c = cos[angles + i]
        const s = sin[angles + i]
        const d1 = dOut[first + i]
        const d2 = dOut[first + half + i]
        dX[first + i] = d1 * c + d2 * s
        dX[first + half + i] = d2 * c - d1 * s
      }
    }
  }
}
