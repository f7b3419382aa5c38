// The activation as config.json names it (`hidden_act`, with `hidden_act_param` where it has a threshold) to and from
// the catalogue's spelling. Which of the names can be run is for the catalogue to say.

import { parseActivation } from '../activations/index.js'
import { ActivationError } from '../errors.js'

interface HiddenAct {
  readonly name: string
  /** Spelling in the catalogue; a threshold stands in for `hidden_act_param`. */
  readonly spec: (threshold: number) => string
  /** Whether it needs `hidden_act_param`. ProSparse and MiniCPM-S write it. */
  readonly parameter?: boolean
  /** Whether transformers has it under this name, so that it loads as an ordinary model there. */
  readonly transformers?: boolean
}

/** The first name of several for one activation is the one that is written. */
const HIDDEN_ACTS: readonly HiddenAct[] = [
  { name: 'silu', spec: () => 'silu', transformers: true },
  { name: 'swish', spec: () => 'silu', transformers: true },
  { name: 'relu', spec: () => 'relu', transformers: true },
  { name: 'relu2', spec: () => 'relu2', transformers: true },
  { name: 'gelu', spec: () => 'gelu', transformers: true },
  { name: 'gelu_pytorch_tanh', spec: () => 'gelu:form=tanh', transformers: true },
  { name: 'gelu_new', spec: () => 'gelu:form=tanh', transformers: true },
  { name: 'fatrelu', spec: t => `fatrelu:t=${t}`, parameter: true },
  { name: 'shiftrelu', spec: b => `shifted-relu:b=${b}`, parameter: true },
]

/** The `hidden_act` that this Flicker runs, for messages. */
export function supportedHiddenActs(): string[] {
  return HIDDEN_ACTS.filter(({ spec }) => isInCatalogue(spec(0.01))).map(({ name }) => name)
}

/** Why a `hidden_act` gives no activation. */
export type HiddenActProblem = 'unknown' | 'parameter missing'

/** The activation that config.json asks for, as the catalogue spells it. */
export function activationOfHiddenAct(
  hiddenAct: string,
  parameter: number | null | undefined,
): { readonly spec: string } | { readonly problem: HiddenActProblem } {
  const found = HIDDEN_ACTS.find(({ name }) => name === hiddenAct)
  if (found === undefined) return { problem: 'unknown' }
  if (found.parameter === true && typeof parameter !== 'number') return { problem: 'parameter missing' }
  const spec = found.spec(parameter ?? 0)
  return isInCatalogue(spec) ? { spec } : { problem: 'unknown' }
}

/**
 * What config.json says for an activation, and whether transformers then runs the model it should run. StochA becomes
 * `relu`, which the paper runs at inference (and which equals it on x ≥ 0): transformers cannot draw. Throws
 * ActivationError for a spelling that is not in the catalogue.
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
  for (const { name, spec: specOf, parameter, transformers = false } of HIDDEN_ACTS) {
    const threshold = parameter === true ? onlyNumber(activation.spec) : undefined
    const candidate = specOf(threshold ?? 0)
    if (!isInCatalogue(candidate) || parseActivation(candidate).spec !== activation.spec) continue
    return threshold === undefined
      ? { hiddenAct: name, knownToTransformers: transformers }
      : { hiddenAct: name, parameter: threshold, knownToTransformers: transformers }
  }
  return { hiddenAct: activation.name, knownToTransformers: false }
}

/** The value in `name:key=value`; 0 when there is none. */
function onlyNumber(spec: string): number {
  return Number(/^[^:]*:[^=]*=([^,]*)$/.exec(spec)?.[1] ?? 0)
}

function isInCatalogue(spec: string): boolean {
  try {
    parseActivation(spec)
    return true
  } catch (error) {
    if (error instanceof ActivationError) return false
    throw error
  }
}
