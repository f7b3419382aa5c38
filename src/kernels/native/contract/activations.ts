// Activations: the fused ones of the hot path, programs, and rows of which some neurons are kept.

import {
  draw,
  type Entry,
  fused,
  indices,
  input,
  inputOrNull,
  number,
  output,
  outputOrNull,
  size,
} from './parameters.js'

/** The neurons of a row that are kept: an id of `keptNeurons`, one of `keptActivations`, and the rank or threshold. */
const selection = { keep: size, apply: size, at: number }
/** A program of activations, or the plan of a row-wise one: see `programArguments` in activation.ts. */
const program = {
  code: indices(),
  uniforms: input(),
  parameters: inputOrNull(),
  shared: size,
  drawUnit: size,
  rowsPerSample: size,
  neurons: size,
}
const upWithGradient = [['up == null || dUp != null', 'dUp', 'must be given with up']] as const

export const activationEntries = {
  activation: {
    parameters: {
      ...fused,
      x: input('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  activationBackward: {
    parameters: {
      ...fused,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      dX: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  gate: {
    parameters: {
      ...fused,
      gate: input('rows', 'width'),
      up: input('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  gateBackward: {
    parameters: {
      ...fused,
      dOut: input('rows', 'width'),
      gate: input('rows', 'width'),
      up: input('rows', 'width'),
      dGate: output('rows', 'width'),
      dUp: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  dRelu: {
    parameters: { gate: input('n'), up: input('n'), out: output('n'), n: size },
  },
  dReluBackward: {
    parameters: {
      dOut: input('n'),
      gate: input('n'),
      up: input('n'),
      dGate: output('n'),
      dUp: output('n'),
      n: size,
    },
  },
  programForward: {
    parameters: {
      ...program,
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  programBackward: {
    parameters: {
      ...program,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      dX: output('rows', 'width'),
      dUp: outputOrNull('rows', 'width'),
      dParameters: outputOrNull('shared + neurons * width'),
      rows: size,
      width: size,
      ...draw,
    },
    checks: upWithGradient,
  },
  rowProgramForward: {
    parameters: {
      ...program,
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  rowProgramBackward: {
    parameters: {
      ...program,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      dX: output('rows', 'width'),
      dUp: outputOrNull('rows', 'width'),
      dParameters: outputOrNull('shared + neurons * width'),
      rows: size,
      width: size,
      ...draw,
    },
    checks: upWithGradient,
  },
  rowSelectionForward: {
    parameters: {
      ...selection,
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
    },
  },
  rowSelectionBackward: {
    parameters: {
      ...selection,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      dX: output('rows', 'width'),
      dUp: outputOrNull('rows', 'width'),
      rows: size,
      width: size,
    },
    checks: upWithGradient,
  },
} as const satisfies Readonly<Record<string, Entry>>
