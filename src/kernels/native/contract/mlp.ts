// The lab's network in one call.

import {
  draw,
  type Entry,
  fused,
  indices,
  input,
  number,
  output,
  outputOrNull,
  size,
  word,
} from './parameters.js'

/** One moment of the lab's network: see `nativeMlpStack` in mlp.ts. */
const mlpMoment = {
  widths: indices('layers + 1'),
  ...fused,
  ...draw,
  dropout: number,
  dropoutTag: word,
  layers: size,
  programs: indices(),
  uniforms: input(),
}

export const mlpEntries = {
  mlpGradients: {
    parameters: {
      ...mlpMoment,
      parameters: input(),
      gradients: output(),
      x: { ...input(), shared: true },
      y: indices('total'),
      order: indices('first + samples'),
      first: size,
      samples: size,
      total: size,
    },
    returns: 'number',
  },
  mlpForward: {
    parameters: {
      ...mlpMoment,
      parameters: input(),
      x: { ...input(), shared: true },
      samples: size,
      gates: outputOrNull(),
      hidden: output(),
      logits: output(),
    },
  },
} as const satisfies Readonly<Record<string, Entry>>
