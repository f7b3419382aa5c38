// The activation as config.json names it (`hidden_act`, with `hidden_act_param` where it has a threshold) to and from
// the catalog's spelling. Which of the names can be run is for the catalog to say.

import { parseActivation } from '../../activations/index.js'
import { ActivationError } from '../../errors.js'

interface HiddenAct {
  readonly name: string
  /** Spelling in the catalog; without the setting that `hidden_act_param` gives, where there is one. */
  readonly spec: string
  /** The setting that `hidden_act_param` gives. ProSparse and MiniCPM-S write it. */
  readonly setting?: string
  /** Whether transformers has it under this name, so that it loads as an ordinary model there. */
  readonly transformers: boolean
}

/** The first name of several for one activation is the one that is written. */
const HIDDEN_ACTS: readonly HiddenAct[] = [
  { name: 'silu', spec: 'silu', transformers: true },
  { name: 'swish', spec: 'silu', transformers: true },
  { name: 'relu', spec: 'relu', transformers: true },
  { name: 'relu2', spec: 'relu2', transformers: true },
  { name: 'gelu', spec: 'gelu', transformers: true },
  { name: 'gelu_pytorch_tanh', spec: 'gelu:form=tanh', transformers: true },
  { name: 'gelu_new', spec: 'gelu:form=tanh', transformers: true },
  { name: 'relu6', spec: 'relu6', transformers: true },
  { name: 'leaky_relu', spec: 'leaky-relu:slope=0.01', transformers: true },
  { name: 'mish', spec: 'mish', transformers: true },
  { name: 'fatrelu', spec: 'fatrelu', setting: 't', transformers: false },
  { name: 'shiftrelu', spec: 'shifted-relu', setting: 'b', transformers: false },
]

/**
 * The activation that config.json asks for, as the catalog spells it; `problem` completes a sentence that begins with the name: `is not
 * supported; …`.
 */
export function activationOfHiddenAct(
  hiddenAct: string,
  parameter: number | null | undefined,
): { readonly spec: string } | { readonly problem: string } {
  const found = HIDDEN_ACTS.find(({ name }) => name === hiddenAct)
  if (found === undefined) {
    const names = HIDDEN_ACTS.map(({ name }) => name)
    return { problem: `is not supported; supported: ${names.join(', ')}` }
  }
  if (found.setting !== undefined && typeof parameter !== 'number') {
    return { problem: 'needs its threshold in hidden_act_param' }
  }
  const spec = found.setting === undefined ? found.spec : `${found.spec}:${found.setting}=${parameter}`
  try {
    parseActivation(spec)
    return { spec }
  } catch (error) {
    if (error instanceof ActivationError)
      return { problem: `with hidden_act_param ${parameter}: ${error.message}` }
    throw error
  }
}

/** Whether two names are of one activation. */
export function sameHiddenAct(a: string, b: string): boolean {
  const own = (name: string) => (name === 'swish' ? 'silu' : name)
  return own(a) === own(b)
}

/**
 * What config.json says for an activation, and whether transformers then runs the model it should run. StochA becomes
 * `relu`, which the paper runs at inference (and which equals it on x ≥ 0): transformers cannot draw. Throws
 * ActivationError for a spelling that is not in the catalog.
 */
export function hiddenActOf(spec: string): {
  readonly hiddenAct: string
  readonly parameter?: number
  readonly knownToTransformers: boolean
} {
  const activation = parseActivation(spec)
  if (activation.draws && (activation.name === 'stocha' || activation.name === 'stoch')) {
    return { hiddenAct: 'relu', knownToTransformers: true }
  }
  for (const { name: hiddenAct, spec: theirs, setting, transformers } of HIDDEN_ACTS) {
    const { spec, name } = parseActivation(theirs)
    if (setting !== undefined && name === activation.name) {
      return { hiddenAct, parameter: Number(activation.settings[setting]), knownToTransformers: transformers }
    }
    if (setting === undefined && spec === activation.spec)
      return { hiddenAct, knownToTransformers: transformers }
  }
  // Under its own name, unless that means another one to transformers (`swish`).
  const { name } = activation
  const taken = HIDDEN_ACTS.some(known => known.name === name)
  return { hiddenAct: taken ? `flicker-${name}` : name, knownToTransformers: false }
}
