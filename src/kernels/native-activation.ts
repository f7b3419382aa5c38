// The native activation kernels: the fused ones of the hot path, the machine that runs any program, and the portable
// kernels for what neither knows (a user's plain functions, statistics of a row).

import { type Activation, drawUnits, parameterCount, startParameters } from '../activations/activation.js'
import type { ActivationPrograms, Program } from '../activations/programs.js'
import { ShapeError } from '../errors.js'
import type { Draw, Floats, Kernels } from './kernels.js'
import * as portable from './portable/activation.js'

type NativeFunction = (...args: unknown[]) => unknown

/** The activation kernels of `Kernels`, given the addon's functions by name. */
export function activationKernels(
  kernel: (name: string) => NativeFunction,
): Pick<Kernels, 'activation' | 'activationBackward' | 'gate' | 'gateBackward' | 'dRelu' | 'dReluBackward'> {
  const [activation, activationBackward] = [kernel('activation'), kernel('activationBackward')]
  const [gate, gateBackward] = [kernel('gate'), kernel('gateBackward')]
  const [forward, backward] = [kernel('programForward'), kernel('programBackward')]
  const [dRelu, dReluBackward] = [kernel('dRelu'), kernel('dReluBackward')]
  return {
    dRelu: (g, up, out, n) => {
      dRelu(g, up, out, n)
    },
    dReluBackward: (dOut, g, up, dGate, dUp, n) => {
      dReluBackward(dOut, g, up, dGate, dUp, n)
    },
    activation: (act, x, out, rows, width, draw, parameters) => {
      const { fused, programs } = act
      if (fused !== undefined) activation(fused.kernel, fused.p, x, out, rows, width, ...words(draw))
      else if (!runsNatively(act, programs)) {
        portable.activation(act, x, out, rows, width, draw, parameters)
      } else {
        const program = programArguments(act, programs, programs.forward, width, draw, parameters)
        forward(...program, x, null, out, rows, width, ...words(draw))
      }
    },
    activationBackward: (act, dOut, x, dX, rows, width, draw, parameters, dParameters) => {
      const { fused, programs } = act
      if (fused !== undefined) {
        activationBackward(fused.kernel, fused.p, dOut, x, dX, rows, width, ...words(draw))
      } else if (!runsNatively(act, programs)) {
        portable.activationBackward(act, dOut, x, dX, rows, width, draw, parameters, dParameters)
      } else {
        const program = programArguments(act, programs, programs.backward, width, draw, parameters)
        backward(...program, dOut, x, null, dX, null, dParameters ?? null, rows, width, ...words(draw))
      }
    },
    gate: (act, g, up, out, rows, width, draw, parameters) => {
      const { fused, programs } = act
      if (fused !== undefined) gate(fused.kernel, fused.p, g, up, out, rows, width, ...words(draw))
      else if (!runsNatively(act, programs)) portable.gate(act, g, up, out, rows, width, draw, parameters)
      else {
        const program = programArguments(act, programs, programs.forward, width, draw, parameters)
        forward(...program, g, up, out, rows, width, ...words(draw))
      }
    },
    gateBackward: (act, dOut, g, up, dGate, dUp, rows, width, draw, parameters, dParameters) => {
      const { fused, programs } = act
      if (fused !== undefined) {
        gateBackward(fused.kernel, fused.p, dOut, g, up, dGate, dUp, rows, width, ...words(draw))
      } else if (!runsNatively(act, programs)) {
        portable.gateBackward(act, dOut, g, up, dGate, dUp, rows, width, draw, parameters, dParameters)
      } else {
        const program = programArguments(act, programs, programs.backward, width, draw, parameters)
        backward(...program, dOut, g, up, dGate, dUp, dParameters ?? null, rows, width, ...words(draw))
      }
    },
  }
}

function runsNatively(
  act: Activation,
  programs: ActivationPrograms | undefined,
): programs is ActivationPrograms {
  return programs !== undefined && !act.rowwise
}

/** What the native machine takes of an activation: see `Arguments::program` in native/arguments.h. */
function programArguments(
  act: Activation,
  programs: ActivationPrograms,
  program: Program,
  width: number,
  draw: Draw,
  given: Floats | undefined,
): unknown[] {
  const needed = parameterCount(act, width)
  if (given !== undefined && given.length < needed) {
    throw new ShapeError(
      'SHAPE_PARAMETERS',
      `${act.spec} has ${needed} learned numbers for ${width} neurons, but was given ${given.length}`,
    )
  }
  const parameters = needed === 0 ? null : (given ?? Float32Array.from(startParameters(act, width)))
  const uniforms = new Float32Array(program.uniformCount)
  program.fillUniforms(uniforms, act.settings, parameters ?? [], width)
  const shared = programs.learned.filter(({ per }) => per === 'layer').length
  const neurons = programs.learned.length - shared
  const unit = act.draws ? drawUnits.indexOf(act.drawPer) : drawUnits.length
  return [program.code, uniforms, parameters, shared, unit, draw.rowsPerSample ?? 1, neurons]
}

function words(draw: Draw): [number, number, number, number, number] {
  const tag = ((draw.purpose << 16) | draw.layer) >>> 0
  return [draw.seedLow, draw.seedHigh, tag, draw.step, draw.firstRow]
}
