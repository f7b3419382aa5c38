// Activations on the tape, alone and inside a gated FFN, with the parameters that they learn.

import { type Activation, parameterLayout } from '../../activations/activation.js'
import { ShapeError } from '../../errors.js'
import { type Draw, type Floats, upSideDraw } from '../../kernels/index.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

/**
 * f(x), elementwise over x (…, width). The backward pass draws what the forward pass drew. `learned`: a tensor for each
 * parameter of `parameterLayout(act, width)`, in its order; without them the start values.
 */
export function activation(
  tape: Tape,
  act: Activation,
  x: Tensor,
  draw: Draw,
  learned: readonly Tensor[] = [],
): Tensor {
  const { kernels } = tape
  const { rows, width } = x
  const parameters = flatten(tape, act, width, learned)
  const out = tape.output(x.shape, x, ...learned)
  kernels.activation(act, x.data, out.data, rows, width, draw, parameters)
  tape.record(out, dOut => {
    tape.writeGrads([x], dX => {
      withGradients(tape, learned, dParameters =>
        kernels.activationBackward(act, dOut, x.data, dX, rows, width, draw, parameters, dParameters),
      )
    })
  })
  return out
}

/** f(gate) ⊙ up, the hidden activations of a gated FFN (Shazeer 2020). gate, up and result: (…, h). */
export function gate(
  tape: Tape,
  act: Activation,
  gate: Tensor,
  up: Tensor,
  draw: Draw,
  learned: readonly Tensor[] = [],
): Tensor {
  if (gate.rows !== up.rows || gate.width !== up.width) {
    throw new ShapeError('SHAPE_GATE', `gate: gate ${show(gate.shape)} and up ${show(up.shape)} differ`)
  }
  const { kernels } = tape
  const { rows, width } = gate
  const parameters = flatten(tape, act, width, learned)
  const out = tape.output(gate.shape, gate, up, ...learned)
  kernels.gate(act, gate.data, up.data, out.data, rows, width, draw, parameters)
  tape.record(out, dOut => {
    tape.writeGrads([gate, up], (dGate, dUp) => {
      withGradients(tape, learned, dParameters =>
        kernels.gateBackward(
          act,
          dOut,
          gate.data,
          up.data,
          dGate,
          dUp,
          rows,
          width,
          draw,
          parameters,
          dParameters,
        ),
      )
    })
  })
  return out
}

/**
 * f(gate) ⊙ f(up), the hidden activations of an FFN with its activation on both sides: dReLU where f is ReLU (Song et
 * al. 2024, arXiv 2406.05955). gate, up and result: (…, h). Each side draws for itself (`upSideDraw`).
 */
export function dualGate(
  tape: Tape,
  act: Activation,
  gateInput: Tensor,
  up: Tensor,
  draw: Draw,
  learned: readonly Tensor[] = [],
): Tensor {
  if (act.name !== 'relu') {
    return gate(tape, act, gateInput, activation(tape, act, up, upSideDraw(draw), learned), draw, learned)
  }
  if (gateInput.rows !== up.rows || gateInput.width !== up.width) {
    throw new ShapeError('SHAPE_GATE', `gate: gate ${show(gateInput.shape)} and up ${show(up.shape)} differ`)
  }
  const { kernels } = tape
  const out = tape.output(gateInput.shape, gateInput, up)
  kernels.dRelu(gateInput.data, up.data, out.data, out.size)
  tape.record(out, dOut => {
    tape.writeGrads([gateInput, up], (dGate, dUp) => {
      kernels.dReluBackward(dOut, gateInput.data, up.data, dGate, dUp, out.size)
    })
  })
  return out
}

/** The flat buffer that the kernels take; undefined without learned tensors. Throws ShapeError. */
function flatten(tape: Tape, act: Activation, width: number, learned: readonly Tensor[]): Floats | undefined {
  if (learned.length === 0) return undefined
  const layout = parameterLayout(act, width)
  const expected = layout.map(({ length }) => length)
  if (expected.join() !== learned.map(({ size }) => size).join()) {
    throw new ShapeError(
      'SHAPE_PARAMETERS',
      `${act.spec} learns ${layout.map(({ name, length }) => `${name} (${length})`).join(', ') || 'nothing'} ` +
        `in a layer of ${width}, but was given ${learned.map(({ shape }) => show(shape)).join(', ')}`,
    )
  }
  const flat = tape.take(expected.reduce((sum, length) => sum + length, 0))
  for (const [i, { offset }] of layout.entries()) flat.set(learned[i].data, offset)
  return flat
}

/** Calls `backward` with a zeroed flat buffer for the parameters' gradients and adds it into those of the tensors. */
function withGradients(
  tape: Tape,
  learned: readonly Tensor[],
  backward: (dParameters: Floats | undefined) => void,
): void {
  if (!learned.some(({ requiresGrad }) => requiresGrad)) {
    backward(undefined)
    return
  }
  const flat = tape.take(learned.reduce((sum, { size }) => sum + size, 0)).fill(0)
  backward(flat)
  let offset = 0
  for (const tensor of learned) {
    const share = flat.subarray(offset, offset + tensor.size)
    if (tensor.requiresGrad) tape.kernels.axpy(1, share, tape.gradToAdd(tensor), tensor.size)
    offset += tensor.size
  }
  tape.give(flat)
}
