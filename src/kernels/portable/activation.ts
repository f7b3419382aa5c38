// The activation alone and inside a gated FFN, forward and backward. Every entry of the catalog runs here through its
// programs. The backward pass draws the forward pass's numbers again instead of storing a mask.

import { type Activation, parameterCount, startParameters } from '../../activations/activation.js'
import type { ActivationPrograms } from '../../activations/programs.js'
import { RowRunner } from '../../activations/row-runner.js'
import { ShapeError } from '../../errors.js'
import type { Draw, Floats } from '../interface/training.js'
import { drawRow } from './draws.js'
import { scratch } from './scratch.js'

const runners = new WeakMap<ActivationPrograms, RowRunner>()
const [rowOut, rowValue, rowDX, noGradients] = [scratch(), scratch(), scratch(), scratch()]
const channelDraws = [scratch()]

/** One activation's rows: forward and backward over one of them, whatever the entry is made of. */
interface Rows {
  forward(x: Floats, start: number, draws: Float64Array[], out: Float64Array): void
  backward(
    x: Floats,
    start: number,
    draws: Float64Array[],
    dOut: Float64Array,
    value: Float64Array,
    dX: Float64Array,
    gradients: Float64Array,
  ): void
}

function rowsOf(act: Activation, width: number, parameters: Floats | undefined): Rows {
  const needed = parameterCount(act, width)
  if (parameters !== undefined && parameters.length < needed) {
    throw new ShapeError(
      'SHAPE_PARAMETERS',
      `${act.spec} has ${needed} learned parameters for ${width} neurons, but was given ${parameters.length}`,
    )
  }
  if (act.programs === undefined) return plainRows(act, width)
  let runner = runners.get(act.programs)
  if (runner === undefined) {
    runner = new RowRunner(act.programs)
    runners.set(act.programs, runner)
  }
  runner.begin(act.settings, parameters ?? startParameters(act, width), width)
  return runner
}

/** A user's plain functions, element by element. */
function plainRows(act: Activation, width: number): Rows {
  return {
    forward: (x, start, [draws], out) => {
      for (let i = 0; i < width; i++) out[i] = act.forward(x[start + i], draws[i])
    },
    backward: (x, start, [draws], dOut, value, dX) => {
      for (let i = 0; i < width; i++) {
        value[i] = act.forward(x[start + i], draws[i])
        dX[i] = act.derivative(x[start + i], draws[i]) * dOut[i]
      }
    },
  }
}

/** Calls `body` for every row with where it starts and its draws, a row per channel; without draws they are 0. */
function forEachRow(
  act: Activation,
  rows: number,
  width: number,
  draw: Draw,
  body: (start: number, draws: Float64Array[]) => void,
): void {
  const channels = Math.max(1, act.programs?.drawChannels ?? 1)
  while (channelDraws.length < channels) channelDraws.push(scratch())
  const draws = Array.from({ length: channels }, (_, channel) => channelDraws[channel](width))
  if (!act.draws) for (const one of draws) one.fill(0, 0, width)
  for (let row = 0; row < rows; row++) {
    for (const [channel, into] of draws.entries()) {
      if (act.draws) drawRow(draw, row, width, into, act.drawPer, channel)
    }
    body(row * width, draws)
  }
}

/** See Kernels.activation. */
export function activation(
  act: Activation,
  x: Floats,
  out: Floats,
  rows: number,
  width: number,
  draw: Draw,
  parameters?: Floats,
): void {
  const runner = rowsOf(act, width, parameters)
  const value = rowValue(width)
  forEachRow(act, rows, width, draw, (start, draws) => {
    runner.forward(x, start, draws, value)
    for (let i = 0; i < width; i++) out[start + i] = value[i]
  })
}

/** See Kernels.activationBackward. */
export function activationBackward(
  act: Activation,
  dOut: Floats,
  x: Floats,
  dX: Floats,
  rows: number,
  width: number,
  draw: Draw,
  parameters?: Floats,
  dParameters?: Floats,
): void {
  backwardRows(act, x, rows, width, draw, parameters, dParameters, (start, row) => {
    if (row.value === null) for (let i = 0; i < width; i++) row.dOut[i] = dOut[start + i]
    else for (let i = 0; i < width; i++) dX[start + i] = row.dX[i]
  })
}

/** See Kernels.gate. */
export function gate(
  act: Activation,
  gateInput: Floats,
  up: Floats,
  out: Floats,
  rows: number,
  width: number,
  draw: Draw,
  parameters?: Floats,
): void {
  const runner = rowsOf(act, width, parameters)
  const value = rowValue(width)
  forEachRow(act, rows, width, draw, (start, draws) => {
    runner.forward(gateInput, start, draws, value)
    for (let i = 0; i < width; i++) out[start + i] = value[i] * up[start + i]
  })
}

/** See Kernels.gateBackward. */
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
  parameters?: Floats,
  dParameters?: Floats,
): void {
  backwardRows(act, gateInput, rows, width, draw, parameters, dParameters, (start, row) => {
    if (row.value === null) {
      for (let i = 0; i < width; i++) row.dOut[i] = dOut[start + i] * up[start + i]
    } else {
      for (let i = 0; i < width; i++) {
        // dOut is read before dGate and dUp are written: they may be the same buffers.
        const given = dOut[start + i]
        dGate[start + i] = row.dX[i]
        dUp[start + i] = row.value[i] * given
      }
    }
  })
}

interface BackwardRow {
  /** To be filled while `value` is null. */
  readonly dOut: Float64Array
  readonly value: Float64Array | null
  readonly dX: Float64Array
}

/** For every row: `visit` fills row.dOut, the runner runs, `visit` takes value and dX away. */
function backwardRows(
  act: Activation,
  x: Floats,
  rows: number,
  width: number,
  draw: Draw,
  parameters: Floats | undefined,
  dParameters: Floats | undefined,
  visit: (start: number, row: BackwardRow) => void,
): void {
  const runner = rowsOf(act, width, parameters)
  const count = parameterCount(act, width)
  const gradients = noGradients(count).subarray(0, count).fill(0)
  const [dOut, value, dX] = [rowOut(width), rowValue(width), rowDX(width)]
  forEachRow(act, rows, width, draw, (start, draws) => {
    visit(start, { dOut, value: null, dX })
    runner.backward(x, start, draws, dOut, value, dX, gradients)
    visit(start, { dOut, value, dX })
  })
  if (dParameters !== undefined) for (let i = 0; i < count; i++) dParameters[i] += gradients[i]
}

/** See Kernels.dRelu. */
export function dRelu(gateInput: Floats, up: Floats, out: Floats, n: number): void {
  for (let i = 0; i < n; i++) out[i] = Math.max(gateInput[i], 0) * Math.max(up[i], 0)
}

/** See Kernels.dReluBackward. */
export function dReluBackward(
  dOut: Floats,
  gateInput: Floats,
  up: Floats,
  dGate: Floats,
  dUp: Floats,
  n: number,
): void {
  for (let i = 0; i < n; i++) {
    const [g, u, given] = [gateInput[i], up[i], dOut[i]]
    dGate[i] = g > 0 ? Math.max(u, 0) * given : 0
    dUp[i] = u > 0 ? Math.max(g, 0) * given : 0
  }
}
