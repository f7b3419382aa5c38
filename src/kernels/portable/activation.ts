// The activation alone and inside a gated FFN, forward and backward. Every entry of the catalogue runs here
// through its own formulas. The backward pass draws the forward pass's numbers again instead of storing a mask.

import type { Activation } from '../../activations/activation.js'
import type { Draw, Floats } from '../kernels.js'
import { drawRow } from './draws.js'
import { scratch } from './scratch.js'

const rowDraws = scratch()

/** Calls `body` for every row with where it starts and its draws; an activation that draws nothing gets zeros. */
function forEachRow(
  act: Activation,
  rows: number,
  width: number,
  draw: Draw,
  body: (start: number, draws: Float64Array) => void,
): void {
  const draws = rowDraws(width)
  if (!act.draws) draws.fill(0, 0, width)
  for (let row = 0; row < rows; row++) {
    if (act.draws) drawRow(draw, row, width, draws)
    body(row * width, draws)
  }
}

/** out = f(x) over (rows, width). */
export function activation(
  act: Activation,
  x: Floats,
  out: Floats,
  rows: number,
  width: number,
  draw: Draw,
): void {
  forEachRow(act, rows, width, draw, (start, draws) => {
    for (let i = 0; i < width; i++) out[start + i] = act.forward(x[start + i], draws[i])
  })
}

/** dX = f′(x) · dOut over (rows, width). */
export function activationBackward(
  act: Activation,
  dOut: Floats,
  x: Floats,
  dX: Floats,
  rows: number,
  width: number,
  draw: Draw,
): void {
  forEachRow(act, rows, width, draw, (start, draws) => {
    for (let i = 0; i < width; i++) dX[start + i] = act.derivative(x[start + i], draws[i]) * dOut[start + i]
  })
}

/** out = f(gate) ⊙ up over (rows, width). Shazeer 2020, arXiv 2002.05202. */
export function gate(
  act: Activation,
  gateInput: Floats,
  up: Floats,
  out: Floats,
  rows: number,
  width: number,
  draw: Draw,
): void {
  forEachRow(act, rows, width, draw, (start, draws) => {
    for (let i = 0; i < width; i++) {
      out[start + i] = act.forward(gateInput[start + i], draws[i]) * up[start + i]
    }
  })
}

/** dGate = f′(gate) · up · dOut; dUp = f(gate) · dOut, over (rows, width). */
export function gateBackward(
  act: Activation,
  dOut: Floats,
  gateInput: Floats,
  up: Floats,
  dGate: Floats,
  dUp: Floats,
  rows: number,
  width: number,
  draw: Draw,
): void {
  forEachRow(act, rows, width, draw, (start, draws) => {
    for (let i = 0; i < width; i++) {
      const at = start + i
      dGate[at] = act.derivative(gateInput[at], draws[i]) * up[at] * dOut[at]
      dUp[at] = act.forward(gateInput[at], draws[i]) * dOut[at]
    }
  })
}
