// The native activation kernels: the fused ones of the hot path, the machine that runs any program (both element by
// element or row by row), and the portable kernels for a user's plain functions.

import {
  type Activation,
  drawUnits,
  keptActivations,
  keptNeurons,
  parameterCount,
  type RowSelection,
  startParameters,
} from '../../activations/activation.js'
import type { ActivationPrograms, Program } from '../../activations/programs.js'
import { rankOf } from '../../activations/row-runner.js'
import { ShapeError } from '../../errors.js'
import type { Draw, Floats, Kernels } from '../interface/training.js'
import * as portable from '../portable/activation.js'
import { drawWords } from './arguments.js'
import { cannotBeRepeated } from './recorder.js'
import type { NativeFunctions } from './signatures.js'

/** The activation kernels of `Kernels`. */
export function activationKernels(
  native: NativeFunctions,
): Pick<Kernels, 'activation' | 'activationBackward' | 'gate' | 'gateBackward' | 'dRelu' | 'dReluBackward'> {
  return {
    dRelu: native.dRelu,
    dReluBackward: native.dReluBackward,
    activation: (act, x, out, rows, width, draw, parameters) => {
      const { fused, fusedRows, programs } = act
      if (fused !== undefined)
        native.activation(fused.kernel, fused.p, x, out, rows, width, ...drawWords(draw))
      else if (fusedRows !== undefined)
        native.rowSelectionForward(...selection(fusedRows, width), x, null, out, rows, width)
      else if (programs === undefined) {
        cannotBeRepeated()
        portable.activation(act, x, out, rows, width, draw)
      } else {
        const run = act.rowwise ? native.rowProgramForward : native.programForward
        const program = programArguments(act, programs, 'forward', width, draw, parameters)
        run(...program, x, null, out, rows, width, ...drawWords(draw))
      }
    },
    activationBackward: (act, dOut, x, dX, rows, width, draw, parameters, dParameters) => {
      const { fused, fusedRows, programs } = act
      if (fused !== undefined) {
        native.activationBackward(fused.kernel, fused.p, dOut, x, dX, rows, width, ...drawWords(draw))
      } else if (fusedRows !== undefined) {
        native.rowSelectionBackward(...selection(fusedRows, width), dOut, x, null, dX, null, rows, width)
      } else if (programs === undefined) {
        portable.activationBackward(act, dOut, x, dX, rows, width, draw)
      } else {
        const run = act.rowwise ? native.rowProgramBackward : native.programBackward
        const program = programArguments(act, programs, 'backward', width, draw, parameters)
        run(...program, dOut, x, null, dX, null, dParameters ?? null, rows, width, ...drawWords(draw))
      }
    },
    gate: (act, g, up, out, rows, width, draw, parameters) => {
      const { fused, fusedRows, programs } = act
      if (fused !== undefined) native.gate(fused.kernel, fused.p, g, up, out, rows, width, ...drawWords(draw))
      else if (fusedRows !== undefined)
        native.rowSelectionForward(...selection(fusedRows, width), g, up, out, rows, width)
      else if (programs === undefined) portable.gate(act, g, up, out, rows, width, draw)
      else {
        const run = act.rowwise ? native.rowProgramForward : native.programForward
        const program = programArguments(act, programs, 'forward', width, draw, parameters)
        run(...program, g, up, out, rows, width, ...drawWords(draw))
      }
    },
    gateBackward: (act, dOut, g, up, dGate, dUp, rows, width, draw, parameters, dParameters) => {
      const { fused, fusedRows, programs } = act
      if (fused !== undefined) {
        native.gateBackward(fused.kernel, fused.p, dOut, g, up, dGate, dUp, rows, width, ...drawWords(draw))
      } else if (fusedRows !== undefined) {
        native.rowSelectionBackward(...selection(fusedRows, width), dOut, g, up, dGate, dUp, rows, width)
      } else if (programs === undefined) {
        portable.gateBackward(act, dOut, g, up, dGate, dUp, rows, width, draw)
      } else {
        const run = act.rowwise ? native.rowProgramBackward : native.programBackward
        const program = programArguments(act, programs, 'backward', width, draw, parameters)
        run(...program, dOut, g, up, dGate, dUp, dParameters ?? null, rows, width, ...drawWords(draw))
      }
    },
  }
}

/** What the fused kernels of rows take. */
function selection({ keep, act, at }: RowSelection, width: number): [number, number, number] {
  return [keptNeurons.indexOf(keep), keptActivations.indexOf(act), at(width)]
}

type ProgramArguments = [
  code: Int32Array,
  uniforms: Float32Array,
  parameters: Floats | null,
  shared: number,
  drawUnit: number,
  rowsPerSample: number,
  neurons: number,
]

/** What the native machine takes of an activation. */
function programArguments(
  act: Activation,
  programs: ActivationPrograms,
  direction: 'forward' | 'backward',
  width: number,
  draw: Draw,
  given: Floats | undefined,
): ProgramArguments {
  const needed = parameterCount(act, width)
  if (given !== undefined && given.length < needed) {
    throw new ShapeError(
      'SHAPE_PARAMETERS',
      `${act.spec} has ${needed} learned parameters for ${width} neurons, but was given ${given.length}`,
    )
  }
  const parameters = needed === 0 ? null : (given ?? Float32Array.from(startParameters(act, width)))
  // In double precision: a rank must round as it does elsewhere.
  const uniformsOf = (program: Program): Float64Array => {
    const uniforms = new Float64Array(program.uniformCount)
    program.fillUniforms(uniforms, act.settings, parameters ?? [], width)
    return uniforms
  }
  const [code, uniforms] = act.rowwise
    ? rowPlan(programs, direction, width, uniformsOf)
    : [programs[direction].code, Float32Array.from(uniformsOf(programs[direction]))]
  const shared = programs.learned.filter(({ per }) => per === 'layer').length
  const neurons = programs.learned.length - shared
  const unit = act.draws ? drawUnits.indexOf(act.drawPer) : drawUnits.length
  return [code, uniforms, parameters, shared, unit, draw.rowsPerSample ?? 1, neurons]
}

/** All programs of a row-wise activation in one list, with the ranks that its statistics have at this width. */
function rowPlan(
  programs: ActivationPrograms,
  direction: 'forward' | 'backward',
  width: number,
  uniformsOf: (program: Program) => Float64Array,
): [plan: Int32Array, uniforms: Float32Array] {
  const { statistics, neighbors } = programs
  const used: Program[] = [programs[direction]]
  const head = [Number(neighbors), statistics.length]
  const lengths = [programs[direction].code.length]
  for (const { value, k, derivatives } of statistics) {
    const back = direction === 'backward' ? derivatives : undefined
    head.push(k === undefined ? 0 : rankOf(uniformsOf(k)[k.outputs[0]], width), Number(back !== undefined))
    lengths.push(value.code.length, back?.code.length ?? 0)
    used.push(value, ...(back === undefined ? [] : [back]))
  }
  return [
    Int32Array.from([...head, ...lengths, ...used.flatMap(({ code }) => [...code])]),
    Float32Array.from(used.flatMap(program => [...uniformsOf(program)])),
  ]
}
