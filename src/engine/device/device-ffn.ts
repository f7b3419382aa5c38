// The kernels of a layer's FFN with an activation: two for each part of its matrices, or, where the activation or a cut looks at
// a whole row of neurons, a kernel each for gate, activation, up and down.

import type { Activation } from '../../activations/index.js'
import { Purpose } from '../../kernels/philox.js'
import {
  CHOOSE_ACCESS,
  chooseCode,
  type Dispatch,
  DOWN_ACCESS,
  downCode,
  downPlan,
  type FeedForwardShape,
  HIDDEN_ACCESS,
  hiddenCode,
  neuronsTogether,
  PROJECTION_ACCESS,
  type Projection,
  paddedColumns,
  projectionCode,
  projectionWorkgroups,
  ROW_ACTIVATION_ACCESS,
  ROWS_PER_WORKGROUP,
  type RowActivation,
  type RowRange,
  rowActivationCode,
  splitInput,
  wholeInput,
} from '../../kernels/webgpu/index.js'
import { ffnWidths, type ModelConfig } from '../../nn/config.js'
import type { DeviceCuts } from './device-cuts.js'
import type { DeviceProducts } from './device-products.js'
import { type DeviceLayer, normIsKernel } from './device-weights.js'
import type { DeviceCut } from './layer-cuts.js'
import { type LayerNumbers, layerNumbers } from './layer-numbers.js'
import { MOST_ROWS } from './pass-buffers.js'

/** What an FFN reads. */
interface FfnInput {
  /** What makes it of x. */
  readonly dispatches: readonly Dispatch[]
  readonly x: GPUBuffer
  /** Of RMSNorm, which x goes through as it is read; null: none. */
  readonly eps: number | null
  /** Its weights. */
  readonly norm: GPUBuffer
}

interface NumbersOfLayer extends Omit<LayerNumbers, 'values'> {
  readonly buffer: GPUBuffer
}

/** One FFN: of a mixture that of a slot, whose expert the device chooses. */
interface Ffn {
  readonly layer: DeviceLayer
  readonly shape: FeedForwardShape
  readonly activation: Activation
  readonly input: FfnInput
  readonly numbers: NumbersOfLayer
  readonly slot: number
}

export class DeviceFfn {
  readonly #products: DeviceProducts
  readonly #cuts: DeviceCuts
  readonly #config: ModelConfig
  readonly #layers: readonly DeviceLayer[]
  readonly #dispatches = new Map<string, Promise<readonly Dispatch[]>>()
  readonly #numbers = new Map<string, NumbersOfLayer>()
  #valuesBuffer: GPUBuffer | null = null

  constructor(products: DeviceProducts, cuts: DeviceCuts, layers: readonly DeviceLayer[]) {
    this.#products = products
    this.#cuts = cuts
    this.#config = products.config
    this.#layers = layers
  }

  /** The FFN of a layer with this activation, compiled once. Throws OptionError WEBGPU_ACTIVATION. */
  of(index: number, activation: Activation, skips: boolean): Promise<readonly Dispatch[]> {
    const key = `${index} ${skips} ${activation.spec}`
    let dispatches = this.#dispatches.get(key)
    if (dispatches === undefined) {
      dispatches = this.#layer(index, activation, skips)
      this.#dispatches.set(key, dispatches)
    }
    return dispatches
  }

  async #layer(index: number, activation: Activation, skips: boolean): Promise<Dispatch[]> {
    const { hiddenSize: width, intermediateSize: count, numHiddenLayers, ffn, experts } = this.#config
    const layer = this.#layers[index]
    const numbers = this.#layerNumbers(activation, index)
    const { inputs = {}, rotations = null } = layer.cuts ?? {}
    const cutsInputs = rotations !== null || ['gate', 'up', 'down'].some(name => name in inputs)
    const inSteps = activation.rowwise || numbers.top !== null || cutsInputs
    const widths = ffnWidths(this.#config)
    const shape: FeedForwardShape = {
      gate: layer.gate.type,
      up: layer.up?.type ?? null,
      down: layer.down.type,
      ...{
        width,
        count,
        maxRows: MOST_ROWS,
        skips: skips && !layer.dense,
        downBias: layer.downBias !== null,
      },
      input: ffn === 'spark' ? splitInput(widths.gate, widths.up) : wholeInput(width),
      ...{ layers: numHiddenLayers, activatesUp: ffn === 'drelu' },
      experts: experts === undefined ? null : { ...experts, inParts: layer.gate.parts.length > 1 },
    }
    const input = await this.#input(layer, shape, inSteps)
    const slots = Array.from({ length: experts?.perToken ?? 1 }, (_, slot) => {
      const own = { layer, shape, activation, input, numbers, slot }
      return inSteps ? this.#inSteps(own) : this.#fused(own)
    })
    const [router, ...each] = await Promise.all([this.#router(layer, input), ...slots])
    return [...input.dispatches, ...router, ...each.flat()]
  }

  async #input(
    { norms, cuts }: DeviceLayer,
    { width, input }: FeedForwardShape,
    inSteps: boolean,
  ): Promise<FfnInput> {
    const { normActivation, parallelBranches, rmsNormEps } = this.#config
    const { x, normed, split } = this.#products.buffers
    const { nothing } = this.#products
    const isSplit = input.upAt > 0
    const read = { dispatches: [], norm: nothing, eps: null }
    if (!(normIsKernel(this.#config) || inSteps || isSplit) && norms.ffn !== null) {
      return { ...read, x, eps: rmsNormEps, norm: norms.ffn }
    }
    const rotation = cuts?.rotations?.ffn
    if (norms.ffn === null && !isSplit) return { ...read, ...(await this.#cuts.rotated(x, rotation)) }
    // Attention has read the same.
    if (parallelBranches === 'oneNorm' && norms.input !== null && !isSplit) {
      return { ...read, ...(await this.#cuts.rotated(normed, rotation)) }
    }
    const to = isSplit ? split : normed
    const row = {
      columns: width,
      rectified: normActivation !== undefined,
      split: isSplit ? { first: input.gate, at: input.upAt } : null,
      stride: input.stride,
    }
    const made = await this.#products.norm(norms.ffn, row, to)
    const rotated = await this.#cuts.rotated(to, rotation)
    return { ...read, x: rotated.x, dispatches: [...made, ...rotated.dispatches] }
  }

  /** Gate, activation and up projection by one kernel. */
  async #fused(own: Ffn): Promise<Dispatch[]> {
    const { layer, shape, activation, input, numbers, slot } = own
    const { compiler, buffers, gpu } = this.#products
    const { biasAt, limits } = numbers
    const use = { activation, purpose: Purpose.decode, eps: input.eps, biasAt, limits }
    const code = hiddenCode(shape, use, gpu.info)
    const hidden = layer.gate.parts.map(async (gate, part) => {
      const up = layer.up?.parts[part].buffer ?? gate.buffer
      const range = neuronRange(gate, shape)
      const kernel = await compiler.compile(code, HIDDEN_ACCESS, constantsOf(range, shape, slot))
      const { rows, flags } = buffers
      return {
        kernel,
        group: kernel.bind([
          ...[gate.buffer, up, input.x, input.norm, numbers.buffer, rows, buffers.hidden, flags],
        ]),
        workgroups: Math.ceil(range.count / (ROWS_PER_WORKGROUP * neuronsTogether(shape, gpu.info))),
      }
    })
    // All gates read x before the first down projection changes it.
    const [first, down] = await Promise.all([Promise.all(hidden), this.#down(own)])
    return [...first, ...down]
  }

  /** Gate, activation, up and down projection one after another. */
  async #inSteps(own: Ffn): Promise<Dispatch[]> {
    const { layer, shape, numbers, activation } = own
    const { hidden, branch } = this.#products.buffers
    const { intermediateSize: h, hiddenSize: d, ffn } = this.#config
    const { inputs = {} } = layer.cuts ?? {}
    const { limits, top, biasAt } = numbers
    const values = this.#values
    const none = { limits: null, top: null }
    const cutGate = inputs[ffn === 'plain' ? 'up' : 'gate']
    const hasUp = layer.up !== null
    // What a low-rank term adds to has to be whole.
    const upIsWhole = shape.activatesUp || inputs.up?.lowRank != null
    const steps = [
      this.#projection(own, { of: 'gate', biasAt, multiplies: false }, values, cutGate),
      this.#activation(own, {
        activation,
        ofUp: false,
        counts: !(hasUp && upIsWhole) && !inputs.down,
        limits,
        top,
      }),
    ]
    if (hasUp && upIsWhole) {
      const factor = shape.activatesUp ? activation : null
      steps.push(
        this.#projection(own, { of: 'up', biasAt: null, multiplies: false }, values, inputs.up),
        this.#activation(own, { activation: factor, ofUp: true, counts: !inputs.down, ...none }),
      )
    } else if (hasUp) {
      steps.push(this.#projection(own, { of: 'up', biasAt: null, multiplies: true }, hidden, inputs.up))
    }
    // What the cut of the down projection leaves of hidden takes its place.
    const last = { activation: null, ofUp: false, counts: true, ...none }
    const kept = await this.#cuts.kept(hidden, h, inputs.down)
    const cutHidden = inputs.down === undefined ? [] : await this.#activation(own, last, kept.x)
    const rest = await this.#cuts.lowRank(inputs.down, { y: branch, rows: d, start: 0 })
    const [before, down] = await Promise.all([Promise.all(steps), this.#down(own)])
    return [...before.flat(), ...kept.dispatches, ...cutHidden, ...down, ...rest]
  }

  /** A projection of what its cut leaves of the input. */
  async #projection(
    { layer, shape, input, numbers, slot }: Ffn,
    projection: Projection,
    to: GPUBuffer,
    cut: DeviceCut | undefined,
  ): Promise<Dispatch[]> {
    const { compiler, buffers, gpu } = this.#products
    const matrix = projection.of === 'up' ? layer.up : layer.gate
    const code = projectionCode(shape, projection, gpu.info)
    const kept = await this.#cuts.kept(input.x, shape.width, cut)
    const product = await Promise.all(
      (matrix?.parts ?? []).map(async part => {
        const range = neuronRange(part, shape)
        const kernel = await compiler.compile(code, PROJECTION_ACCESS, constantsOf(range, shape, slot))
        const group = kernel.bind([part.buffer, kept.x, numbers.buffer, buffers.flags, to])
        return { kernel, group, workgroups: projectionWorkgroups(range.count) }
      }),
    )
    const rest = await this.#cuts.lowRank(cut, { y: to, rows: shape.count, start: 0 })
    return [...kept.dispatches, ...product, ...rest]
  }

  /** hidden = what an activation makes of `values`, or of what else is given. */
  async #activation(
    { shape, numbers, slot }: Ffn,
    use: Omit<RowActivation, 'purpose'>,
    values = this.#values,
  ): Promise<Dispatch[]> {
    const { compiler, buffers } = this.#products
    const code = rowActivationCode(shape, { ...use, purpose: Purpose.decode })
    const constants: Record<string, number> = shape.experts === null ? {} : { SLOT: slot }
    const kernel = await compiler.compile(code, ROW_ACTIVATION_ACCESS, constants)
    const { rows, hidden, flags } = buffers
    return [{ kernel, group: kernel.bind([values, numbers.buffer, rows, hidden, flags]), workgroups: 1 }]
  }

  #down({ layer, shape, slot }: Ffn): Promise<Dispatch[]> {
    const { compiler, buffers, gpu, nothing } = this.#products
    const { hidden, flags, branch } = buffers
    const bias = layer.downBias ?? nothing
    if (layer.dense) {
      return this.#products.matvec(layer.down, [bias, hidden, branch], {
        ...{ rows: shape.width, columns: shape.count, normEps: null },
        ...{ bias: shape.downBias, accumulate: true, gathers: false },
      })
    }
    const code = downCode(shape, gpu)
    const { workgroups } = downPlan(shape, gpu)
    const dispatches = layer.down.parts.map(async part => {
      const constants = constantsOf(neuronRange(part, shape), shape, slot)
      const kernel = await compiler.compile(code, DOWN_ACCESS, constants)
      return { kernel, group: kernel.bind([part.buffer, hidden, flags, bias, branch]), workgroups }
    })
    return Promise.all(dispatches)
  }

  /** Which experts each row takes; without experts nothing. */
  async #router({ router }: DeviceLayer, { norm, x, eps }: FfnInput): Promise<Dispatch[]> {
    const { hiddenSize: columns, intermediateSize, numHiddenLayers, experts } = this.#config
    if (router === null || experts === undefined) return []
    const { scores, flags } = this.#products.buffers
    const product = await this.#products.matvec(router, [norm, x, scores], {
      ...{ rows: experts.count, columns, normEps: eps },
      ...{ bias: false, accumulate: false, gathers: false },
    })
    const code = chooseCode(experts, MOST_ROWS, numHiddenLayers, intermediateSize)
    const kernel = await this.#products.compiler.compile(code, CHOOSE_ACCESS)
    return [...product, { kernel, group: kernel.bind([scores, flags]), workgroups: 1 }]
  }

  #layerNumbers(activation: Activation, index: number): NumbersOfLayer {
    const key = `${index} ${activation.spec}`
    let numbers = this.#numbers.get(key)
    if (numbers === undefined) {
      const { values, ...places } = layerNumbers(activation, index, this.#config, this.#layers[index])
      numbers = { buffer: this.#products.memory.numbers(values), ...places }
      this.#numbers.set(key, numbers)
    }
    return numbers
  }

  /** Pre-activations where a kernel of its own activates them, (rows, h). */
  get #values(): GPUBuffer {
    this.#valuesBuffer ??= this.#products.memory.buffer(
      4 * MOST_ROWS * paddedColumns(this.#config.intermediateSize),
    )
    return this.#valuesBuffer
  }
}

/** Of a part of a matrix: its first neuron, and how many of each expert it has. */
function neuronRange({ first, count }: RowRange, { count: neurons }: FeedForwardShape) {
  return { first: first % neurons, count: Math.min(count, neurons), rows: { first, count } }
}

/** The constants of a kernel that reads a part of a matrix (ffn-shape.ts). */
function constantsOf(
  { first, count, rows }: ReturnType<typeof neuronRange>,
  { count: neurons, experts }: FeedForwardShape,
  slot: number,
): Record<string, number> {
  const neuronsOf = { FIRST: first, COUNT: count }
  if (experts === null) return neuronsOf
  const ofExperts = { SLOT: slot, EXPERT: Math.floor(rows.first / neurons) }
  return { ...neuronsOf, ...ofExperts, EXPERTS: Math.max(1, rows.count / neurons) }
}
