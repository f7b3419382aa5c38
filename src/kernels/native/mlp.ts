// The lab's network on native/mlp.cc.

import { type Activation, drawUnits, parameterCount } from '../../activations/activation.js'
import type { ActivationPrograms, Program } from '../../activations/programs.js'
import type { MlpMoment, MlpStack } from '../interface/mlp.js'
import { nativeFunctions } from './addon.js'
import { drawTag, drawWords } from './arguments.js'

/** `drawUnits`, and after them: every draw is 0. */
const NO_DRAWS = drawUnits.length

/** The kernel for layers of these widths (inputs first). Throws when the instruction set is not there. */
export function nativeMlpStack(isa: string, widths: readonly number[]): MlpStack {
  const native = nativeFunctions(isa)
  const layers = Int32Array.from(widths)
  const prepared = new Map<ActivationPrograms, Prepared>()

  const programsOf = (
    activation: Activation,
    parameters: Float32Array,
  ): readonly [Int32Array, Float32Array] => {
    const { fused, programs } = activation
    if (fused !== undefined || programs === undefined) return [NOTHING, NO_UNIFORMS]
    let one = prepared.get(programs)
    if (one === undefined) {
      one = prepare(activation, programs, widths)
      prepared.set(programs, one)
    }
    return one.forMoment(activation, parameters)
  }

  const flattened = (moment: MlpMoment, parameters: Float32Array) => {
    const { activation, draw, dropout, dropoutPurpose } = moment
    const { kernel, p } = activation.fused ?? { kernel: 0, p: 0 }
    const dropoutTag = drawTag(dropoutPurpose, draw.layer)
    const programs = programsOf(activation, parameters)
    return [
      layers,
      kernel,
      p,
      ...drawWords(draw),
      dropout,
      dropoutTag,
      widths.length - 1,
      ...programs,
    ] as const
  }

  return {
    gradients: (moment, parameters, into, { x, y, samples }, order, first, count) =>
      native.mlpGradients(
        ...flattened(moment, parameters),
        parameters,
        into,
        x,
        y,
        order,
        first,
        count,
        samples,
      ),
    forward: (moment, parameters, x, samples, { logits, hidden, gates }) => {
      native.mlpForward(...flattened(moment, parameters), parameters, x, samples, gates, hidden, logits)
    },
  }
}

const NOTHING = new Int32Array(0)
const NO_UNIFORMS = new Float32Array(0)

/** An activation's programs as the kernel reads them. */
interface Prepared {
  /** The programs, and their uniforms for every hidden layer at these settings and parameters. */
  forMoment(activation: Activation, parameters: Float32Array): readonly [Int32Array, Float32Array]
}

function prepare(activation: Activation, programs: ActivationPrograms, widths: readonly number[]): Prepared {
  const numbers = activation.learned.map(({ per, start }) => ({
    shared: per === 'layer',
    count: start.length,
  }))
  const count = (shared: boolean) =>
    numbers.reduce((sum, each) => sum + (each.shared === shared ? each.count : 0), 0)
  const gate = activation.gate?.programs?.forward
  const all: readonly Program[] = [programs.forward, programs.backward, ...(gate === undefined ? [] : [gate])]
  const lengths = [programs.forward, programs.backward, gate].map(program => program?.code.length ?? 0)
  const unit = drawUnits.indexOf(activation.drawPer)
  const head = [count(true), count(false), unit, programs.drawChannels, ...lengths]
  const code = Int32Array.from([...head, ...all.flatMap(program => [...program.code])])

  // Where each hidden layer's learned parameters begin and how long they are.
  let at = 0
  const places = widths.slice(1, -1).map((width, i) => {
    at += (widths[i] + 1) * width
    const place = { width, begin: at, end: at + parameterCount(activation, width) }
    at = place.end
    return place
  })
  const uniforms = new Float32Array(
    places.length * all.reduce((sum, { uniformCount }) => sum + uniformCount, 0),
  )
  const parts: { program: Program; width: number; begin: number; end: number; into: Float32Array }[] = []
  let filled = 0
  for (const program of all) {
    for (const place of places) {
      const into = uniforms.subarray(filled, filled + program.uniformCount)
      parts.push({ program, ...place, into })
      filled += program.uniformCount
    }
  }

  let settings: Activation['settings'] | undefined
  return {
    forMoment: (now, parameters) => {
      code[2] = now.draws ? unit : NO_DRAWS
      // Without shared numbers the uniforms follow from the settings alone.
      if (settings !== now.settings || head[0] > 0) {
        for (const { program, width, begin, end, into } of parts) {
          program.fillUniforms(into, now.settings, parameters.subarray(begin, end), width)
        }
        settings = now.settings
      }
      return [code, uniforms]
    },
  }
}
