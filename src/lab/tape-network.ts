// The network on the tape: any activation, any backend, f32 or f64. The reference that the native kernel is held to.

import type { Activation } from '../activations/index.js'
import type { Draw, Floats, Kernels } from '../kernels/index.js'
import { drawRow } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import { constant, type DType, ops, Tape, Tensor } from '../tensor/index.js'
import type { NetworkLayout } from './layout.js'
import type { Forward, Moment, Network } from './network.js'

/** Parameters of one layer as views into the one buffer. */
interface LayerTensors {
  readonly weight: Tensor
  readonly bias: Tensor
  /** Learned parameters of its activation. */
  readonly learned: Tensor | null
}

export function tapeNetwork(
  kernels: Kernels,
  layout: NetworkLayout,
  start: Float64Array,
  dtype: DType = 'f32',
): Network {
  const floats = (length: number): Floats =>
    dtype === 'f32' ? new Float32Array(length) : new Float64Array(length)
  const parameters = floats(layout.length)
  parameters.set(start)
  const gradients = floats(layout.length)
  const view = (offset: number, shape: number[]): Tensor => {
    const end = offset + shape.reduce((product, n) => product * n, 1)
    const tensor = new Tensor(parameters.subarray(offset, end), shape, true)
    tensor.grad = gradients.subarray(offset, end)
    return tensor
  }
  const layers: LayerTensors[] = layout.layers.map(layer => ({
    weight: view(layer.weight, [layer.outputs, layer.inputs]),
    bias: view(layer.bias, [layer.outputs]),
    learned: layer.learnedLength === 0 ? null : view(layer.learned, [layer.learnedLength]),
  }))
  const features = layout.widths[0]
  const tapes = {
    training: new Tape(kernels, { dtype }),
    forward: new Tape(kernels, { dtype, training: false }),
  }

  /** Logits of x (samples, features); `visit` sees every hidden layer: what goes into the activation, what comes out. */
  const run = (
    tape: Tape,
    x: Tensor,
    moment: Moment,
    visit: (layer: number, before: Tensor, after: Tensor) => void = () => {},
  ): Tensor => {
    let h = x
    for (const [i, { weight, bias, learned }] of layers.entries()) {
      const z = ops.linear(tape, h, weight, { bias })
      if (i === layers.length - 1) return z
      h = activate(tape, moment.activation, z, learned, drawOf(moment, moment.purpose, i))
      if (moment.dropout > 0) h = drop(tape, h, moment.dropout, drawOf(moment, Purpose.dropout, i))
      visit(i, z, h)
    }
    return h
  }

  return {
    layout,
    parameters,
    gradients,
    learn: (data, order, first, count, moment) => {
      const tape = tapes.training
      tape.reset()
      gradients.fill(0)
      for (const { weight, bias, learned } of layers) {
        for (const tensor of [weight, bias, learned]) if (tensor !== null) tensor.hasGrad = false
      }
      const x = tape.take(count * features)
      const targets = new Int32Array(count)
      for (let i = 0; i < count; i++) {
        const sample = order[first + i]
        targets[i] = data.y[sample]
        for (let j = 0; j < features; j++) x[i * features + j] = data.x[sample * features + j]
      }
      const loss = ops.crossEntropy(tape, run(tape, constant(x, [count, features]), moment), targets)
      const total = loss.data[0] * count
      tape.backward(loss)
      return total
    },
    forward: (x, samples, moment): Forward => {
      const tape = tapes.forward
      tape.reset()
      const input = tape.take(samples * features)
      input.set(x.subarray(0, samples * features))
      const hidden: Floats[] = []
      const gates: Floats[] = []
      const { gate } = moment.activation
      const logits = run(tape, constant(input, [samples, features]), moment, (i, before, after) => {
        hidden.push(columns(after))
        if (gate === undefined) return
        const at = activate(tape, gate, before, layers[i].learned, drawOf(moment, moment.purpose, i))
        gates.push(columns(at))
      })
      return { logits: logits.data, hidden: joined(hidden), gates: gate === undefined ? null : joined(gates) }
    },
  }
}

function drawOf({ seed, step }: Moment, purpose: Purpose, layer: number): Draw {
  const [seedLow, seedHigh] = seedWords(seed)
  return { seedLow, seedHigh, purpose, step, layer, firstRow: 0 }
}

/** f(x) with the layer's learned parameters. */
function activate(tape: Tape, act: Activation, x: Tensor, learned: Tensor | null, draw: Draw): Tensor {
  const { kernels } = tape
  const out = tape.output(x.shape, x, learned)
  const parameters = learned?.data
  kernels.activation(act, x.data, out.data, x.rows, x.width, draw, parameters)
  tape.record(out, dOut => {
    const dParameters = learned === null ? undefined : tape.gradToAdd(learned)
    tape.writeGrads([x], dX =>
      kernels.activationBackward(act, dOut, x.data, dX, x.rows, x.width, draw, parameters, dParameters),
    )
  })
  return out
}

/** x with a fraction `p` of its elements set to 0 and the others divided by 1 − p. Srivastava et al. 2014. */
function drop(tape: Tape, x: Tensor, p: number, draw: Draw): Tensor {
  const mask = tape.take(x.size)
  const draws = new Float64Array(x.width)
  for (let row = 0; row < x.rows; row++) {
    drawRow(draw, row, x.width, draws)
    for (let i = 0; i < x.width; i++) mask[row * x.width + i] = draws[i] < p ? 0 : 1 / (1 - p)
  }
  return ops.multiply(tape, x, constant(mask, x.shape))
}

/** (samples × width) as (width × samples). */
function columns(tensor: Tensor): Floats {
  const { data, rows, width } = tensor
  const out = data instanceof Float64Array ? new Float64Array(data.length) : new Float32Array(data.length)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) out[i * rows + row] = data[row * width + i]
  }
  return out
}

function joined(parts: readonly Floats[]): Floats {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const out = parts[0] instanceof Float64Array ? new Float64Array(length) : new Float32Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
