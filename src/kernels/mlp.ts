// The lab's network in one call: forward and backward of a whole stack for one batch, in native/mlp.cc. There is no
// portable form of it as a kernel: where it is absent the lab runs the same network on the tape.

import { type Activation, drawUnits, parameterCount } from '../activations/activation.js'
import type { ActivationPrograms, Program } from '../activations/programs.js'
import type { Draw, Kernels } from './kernels.js'
import { nativeFunction } from './native.js'

/** How a stack runs at one moment of training. */
export interface MlpMoment {
  /** After every layer but the last. */
  readonly activation: Activation
  /** Of the first hidden layer; the next one's `layer` is one more. */
  readonly draw: Draw
  /** Share of the hidden activations that are set to 0, the others divided by what is left. */
  readonly dropout: number
  /** Purpose of the dropout's draws: element (row, neuron) of hidden layer l as in `Draw`. */
  readonly dropoutPurpose: number
}

/** Samples × features and the classes of the samples. */
export interface MlpData {
  readonly x: Float32Array
  readonly y: Int32Array
  readonly samples: number
}

/**
 * A stack of linear layers. Its parameters are one buffer: of each layer in turn its weights (outputs × inputs), its
 * bias (outputs) and, unless it is the last, its activation's learned parameters (flat, as `parameterLayout` says).
 */
export interface MlpStack {
  /**
   * `gradients` = those of the mean cross-entropy over the samples order[first … first + count) of `data`. Returns the
   * sum of their losses in nats.
   */
  gradients(
    moment: MlpMoment,
    parameters: Float32Array,
    gradients: Float32Array,
    data: MlpData,
    order: Int32Array,
    first: number,
    count: number,
  ): number
  /**
   * The first `samples` rows of x forward: logits (samples × classes); of every hidden layer in turn (width × samples)
   * the hidden activations after dropout and, where asked for, the activation's gate (`Activation.gate`).
   */
  forward(
    moment: MlpMoment,
    parameters: Float32Array,
    x: Float32Array,
    samples: number,
    out: { logits: Float32Array; hidden: Float32Array; gates: Float32Array | null },
  ): void
}

/** Learned numbers of one activation that the kernel has room for. */
const MOST_NUMBERS = 64
/** `drawUnits`, and after them: every draw is 0. */
const NO_DRAWS = drawUnits.length

/** Whether the native kernel runs this activation: rows of neurons that depend on each other it does not. */
export function mlpSupports(activation: Activation): boolean {
  if (activation.fused !== undefined) return true
  return (
    !activation.rowwise && activation.programs !== undefined && parameterCount(activation, 1) <= MOST_NUMBERS
  )
}

/** The kernel for layers of these widths (inputs first) on `using`'s instruction set; null on the portable backend. */
export function mlpStack(using: Kernels, widths: readonly number[]): MlpStack | null {
  if (using.backend !== 'native') return null
  const gradients = nativeFunction(using.isa, 'mlpGradients')
  const forward = nativeFunction(using.isa, 'mlpForward')
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

  const words = (moment: MlpMoment, parameters: Float32Array): unknown[] => {
    const { activation, draw, dropout, dropoutPurpose } = moment
    const tag = (purpose: number) => ((purpose << 16) | draw.layer) >>> 0
    const { kernel, p } = activation.fused ?? { kernel: 0, p: 0 }
    const draws = [draw.seedLow, draw.seedHigh, tag(draw.purpose), draw.step, draw.firstRow]
    const programs = programsOf(activation, parameters)
    return [layers, kernel, p, ...draws, dropout, tag(dropoutPurpose), widths.length - 1, ...programs]
  }

  return {
    gradients: (moment, parameters, into, { x, y, samples }, order, first, count) =>
      gradients(...words(moment, parameters), parameters, into, x, y, order, first, count, samples) as number,
    forward: (moment, parameters, x, samples, { logits, hidden, gates }) => {
      forward(...words(moment, parameters), parameters, x, samples, gates, hidden, logits)
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
