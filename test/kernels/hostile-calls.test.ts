// Whatever a caller gives a native function, it throws or returns: nothing is read or written outside its arrays. One
// valid call of every entry of the contract is recorded, and its arguments are spoiled one by one and in pairs.

import fs from 'node:fs'
import { runInNewContext } from 'node:vm'
import { afterAll, describe, expect, it } from 'vitest'
import { type Activation, parseActivation } from '../../src/activations/index.js'
import type { Weights } from '../../src/kernels/index.js'
import { allocateWeights, availableKernels, decodeKernelsOf } from '../../src/kernels/index.js'
import { nativeFunctions } from '../../src/kernels/native/addon.js'
import type { Parameter } from '../../src/kernels/native/contract/parameters.js'
import { contract, type EntryName } from '../../src/kernels/native/contract.js'
import { nativeDecodeKernels } from '../../src/kernels/native/decoding.js'
import { nativeMlpStack } from '../../src/kernels/native/mlp.js'
import { nativeNarrowGateKernels } from '../../src/kernels/native/narrow-gate.js'
import type { NativeFunctions } from '../../src/kernels/native/signatures.js'
import { nativeStores } from '../../src/kernels/native/store-weights.js'
import { nativeKernels } from '../../src/kernels/native/training.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import { someDraw } from './random-inputs.js'

type Call = (...args: unknown[]) => unknown
type TypedArray = Float32Array | Int32Array | Uint16Array | Uint8Array | Int8Array

const entries = Object.entries(contract) as [EntryName, (typeof contract)[EntryName]][]
const isas = availableKernels()
  .filter(({ backend }) => backend === 'native')
  .map(({ isa }) => isa)

/** Arguments of one valid call of every entry, by way of the kernels that call them. */
function recordedCalls(isa: string): Map<EntryName, unknown[]> {
  const native = nativeFunctions(isa) as unknown as Record<string, Call>
  const calls = new Map<EntryName, unknown[]>()
  const originals = { ...native }
  for (const [name] of entries) {
    native[name] = (...args) => {
      if (!calls.has(name)) calls.set(name, copied(args))
      return originals[name](...args)
    }
  }
  try {
    callEverything(isa)
  } finally {
    Object.assign(native, originals)
  }
  return calls
}

const anyFile = fs.openSync(new URL(import.meta.url), 'r')
afterAll(() => fs.closeSync(anyFile))
const f = (n: number, value = 0.5) => new Float32Array(n).fill(value)

function callEverything(isa: string): void {
  const native = nativeFunctions(isa)
  const kernels = nativeKernels(isa)
  kernels.matmul(f(6), f(12), f(8), 2, 4, 3, false, false, false)
  kernels.matmulBf16(f(6), f(12), f(8), 2, 4, 3, false, false, false, true)
  kernels.sparseDots(f(8), f(6), f(12), f(8), 2, 4, 3)
  kernels.sparseRows(f(8), f(12), f(6), 2, 4, 3, false)
  kernels.sparseColumns(f(8), f(6), f(12), 2, 4, 3, true)
  kernels.transpose(f(6), f(6), 2, 3, true)
  kernels.addBias(f(6), f(3), 2, 3)
  kernels.columnSums(f(6), f(3), 2, 3)
  const tokens = Int32Array.of(1, 3)
  kernels.embedding(tokens, f(12), f(6), 2, 3)
  kernels.embeddingBackward(tokens, f(6), f(12), 2, 3)
  kernels.rmsNorm(f(6), f(3), f(6), f(2), 2, 3, 1e-5)
  kernels.rmsNormBackward(f(6), f(6), f(3), f(2), f(6), f(3), 2, 3)
  kernels.layerNorm(f(6), f(3), f(3), f(6), f(4), 2, 3, 1e-5)
  kernels.layerNormBackward(f(6), f(6), f(3), f(4), f(6), f(3), f(3), 2, 3)
  kernels.rope(f(16), f(4), f(4), f(16), 2, 2, 2, 4)
  const shape = { batch: 1, seq: 3, heads: 4, kvHeads: 2, headDim: 2 }
  kernels.attention(f(24), f(12), f(12), f(24), f(12), shape)
  kernels.attentionBackward(f(24), f(24), f(12), f(12), f(24), f(12), f(24), f(12), f(12), shape)
  kernels.crossEntropy(f(8), tokens, f(2), f(8), 2, 4, 1)
  const adam = { lr: 1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weightDecay: 0, step: 1, gradScale: 1 }
  kernels.adamW(f(4), f(4), f(4), f(4), 4, adam)
  const stores = nativeStores(isa)
  const bytes = (n: number) => new Uint8Array(n)
  stores.blocksToRows('q8_0', { bytes: bytes(3 * 68), rows: 3, columns: 64, out: bytes(3 * 128), step: 128 })
  const part = { bytes: bytes(2 * 144), rows: 2, columns: 256, out: bytes(256 * 420), step: 420 }
  const columns = { ...part, first: 256, total: 259 }
  stores.columnsToRows('q4_k', 'q6_k', columns)
  kernels.add(f(4), f(4), f(4), 4)
  kernels.multiply(f(4), f(4), f(4), 4)
  kernels.axpy(2, f(4), f(4), 4)
  kernels.addSign(0.5, f(4), f(4), Int32Array.of(0), 4)
  kernels.sum(f(4), 4)
  kernels.sumOfSquares(f(4), 4)
  kernels.countZeros(f(4), 4)
  kernels.dRelu(f(4), f(4), f(4), 4)
  kernels.dReluBackward(f(4), f(4), f(4), f(4), f(4), 4)
  // A fused entry, a program with learned values of each neuron and draws, plans of rows, and a selection.
  for (const spec of ['stocha:p=0.7', 'rbf', 'polynorm', 'topk:k=2'])
    callActivation(isa, parseActivation(spec))
  const decode = nativeDecodeKernels(isa)
  const w = allocateWeights('q8_0', 4, 6) as Weights
  decode.matvec(w, f(12), f(8), 4, 6, 2, false, f(4))
  decode.selectedRows(w, f(8), f(12), f(8), 4, 6, 2)
  const rowOf = Int32Array.of(1, -1, 0)
  const ffn = { neurons: 3, width: 6, upWidth: 5, batch: 2, gated: true, maxActive: 3, rowOf }
  const neurons = f(2 * 11)
  decode.ffnNeurons(neurons, Float32Array.of(1, 0, 2, 1, 0, 0), f(10), f(12), new Int32Array(2), ffn)
  const integers = nativeDecodeKernels(isa, 'int16')
  integers.selectedRows(w, f(8), f(12), f(8), 4, 6, 2)
  const narrow = allocateWeights('q4_0', 4, 6) as Weights
  const activated = Float32Array.of(1, 0, 2, 1, 0, 0)
  integers.ffnNeurons(narrow, activated, f(12), f(12), new Int32Array(2), { ...ffn, upWidth: 6 })
  const heads = { heads: 4, kvHeads: 2, headDim: 2 }
  const segment = (start: number) => {
    return { keys: new Uint8Array(64), values: new Uint8Array(64), capacity: 4, start }
  }
  const segments = [segment(0), segment(2)]
  const sequences = [{ count: 2, position: 2, segments }]
  decode.attention(f(32), f(4), f(4), 'f32', sequences, f(16), heads)
  const gate = nativeNarrowGateKernels(isa)
  const wide = f(4 * 6)
  const index = gate.buildNarrowIndex(wide, 4, 6)
  const drawn = { p: 0.5, draws: [someDraw, someDraw] }
  gate.narrowGate(wide, index, f(12), f(8), { batch: 2, threshold: 0, drawn })
  const stack = nativeMlpStack(isa, [2, 3, 2])
  const activation = parseActivation('prelu')
  const moment = { activation, draw: someDraw, dropout: 0.5, dropoutPurpose: Purpose.dropout }
  const parameters = f(2 * 3 + 3 + 3 + 3 * 2 + 2)
  const data = { x: f(8), y: Int32Array.of(0, 1, 0, 1), samples: 4 }
  stack.gradients(moment, parameters, f(parameters.length), data, Int32Array.of(3, 1, 2), 1, 2)
  stack.forward(moment, parameters, data.x, 4, { logits: f(8), hidden: f(12), gates: null })
  native.fmaPeak(1e-4)
  native.readSum(f(4), 4)
  native.readFile(anyFile, 8, new Int8Array(16), 16)
}

function callActivation(isa: string, activation: Activation): void {
  const kernels = nativeKernels(isa)
  kernels.activation(activation, f(8), f(8), 2, 4, someDraw)
  kernels.activationBackward(activation, f(8), f(8), f(8), 2, 4, someDraw)
  kernels.gate(activation, f(8), f(8), f(8), 2, 4, someDraw)
  kernels.gateBackward(activation, f(8), f(8), f(8), f(8), f(8), 2, 4, someDraw)
}

/** The same arguments in memory of their own, arrays no longer than they were. */
function copied(args: readonly unknown[]): unknown[] {
  return args.map(arg => {
    if (Array.isArray(arg)) return copied(arg)
    return ArrayBuffer.isView(arg) ? (arg as TypedArray).slice() : arg
  })
}

const isArray = (arg: unknown): arg is TypedArray => ArrayBuffer.isView(arg)

/** What may stand for an argument, and whether the call must then throw. */
interface Spoiled {
  readonly what: string
  readonly value: unknown
  readonly refused: boolean
}

function spoiled(parameter: Parameter, arg: unknown, outputs: readonly unknown[]): Spoiled[] {
  const notThis = [undefined, 'x', {}, Symbol('s'), 1n, () => 1].map(value => {
    return { what: `${typeof value}`, value, refused: true }
  })
  if (typeof arg === 'boolean') return [...notThis, { what: '1', value: 1, refused: true }]
  if (typeof arg === 'number') {
    const never = parameter.kind === 'number' ? [] : [-1, Number.NaN, 2 ** 32, Number.POSITIVE_INFINITY]
    const perhaps = [0, 1, 0.5, 7, 2 ** 31 - 1, 2 ** 31, -1e300, Number.NaN]
    return [
      ...notThis,
      { what: 'null', value: null, refused: true },
      ...never.map(value => ({ what: `${value}`, value, refused: true })),
      ...perhaps.map(value => ({ what: `${value}`, value, refused: false })),
    ]
  }
  if (Array.isArray(arg)) return [...notThis, ...spoiledList(arg as Uint8Array[])]
  if (!isArray(arg)) return notThis.filter(({ what }) => what !== 'null')
  const sized = arg.length > 0
  const detached = arg.slice()
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const shared = new (arg.constructor as Float32ArrayConstructor)(new SharedArrayBuffer(arg.byteLength))
  shared.set(arg as Float32Array)
  const other = arg instanceof Float32Array ? new Float64Array(arg.length) : new Float32Array(arg.length)
  const overlapping = outputs
    .filter(isArray)
    .filter(({ byteLength }) => byteLength >= arg.byteLength)
    .map(({ buffer, byteOffset }) => {
      return new (arg.constructor as Int32ArrayConstructor)(buffer, byteOffset, arg.length)
    })
  const extremes = arg instanceof Int32Array ? [-(2 ** 31), -2, -1, 0, 4, 1000, 2 ** 31 - 1] : []
  return [
    ...notThis,
    { what: 'null', value: null, refused: !parameter.optional && sized },
    { what: 'another type', value: other, refused: true },
    { what: 'one element less', value: arg.subarray(1), refused: sized && parameter.shape.length > 0 },
    { what: 'no elements', value: arg.subarray(0, 0), refused: sized && parameter.shape.length > 0 },
    { what: 'detached memory', value: detached, refused: sized && parameter.shape.length > 0 },
    { what: 'shared memory', value: shared, refused: parameter.shared !== true },
    ...extremes.flatMap(value =>
      [0, arg.length - 1].map(at => {
        const changed = arg.slice()
        if (sized) changed[at] = value
        return { what: `${value} at ${at}`, value: changed, refused: false }
      }),
    ),
    ...overlapping.map(value => ({
      what: 'memory of an output',
      value,
      refused: parameter.kind === 'indices' && sized,
    })),
  ]
}

function spoiledList(list: readonly Uint8Array[]): Spoiled[] {
  const withGetter = (at: number, get: () => unknown) =>
    Object.defineProperty([...list], at, { get, enumerable: true })
  return [
    { what: 'an empty list', value: [], refused: true },
    { what: 'a list of length 2³² − 1', value: new Array(2 ** 32 - 1), refused: true },
    { what: 'a list with a hole', value: [...list.slice(0, 1), undefined], refused: true },
    {
      what: 'a list with shared memory',
      value: [new Uint8Array(new SharedArrayBuffer(64)), ...list.slice(1)],
      refused: true,
    },
    { what: 'a list with short memory', value: [list[0].subarray(4), ...list.slice(1)], refused: true },
    {
      what: 'a list at an odd address',
      value: [new Uint8Array(65).subarray(1), ...list.slice(1)],
      refused: true,
    },
    {
      what: 'a list whose getter throws',
      value: withGetter(1, () => {
        throw new RangeError('from the getter')
      }),
      refused: true,
    },
    {
      what: 'a list whose getter detaches what was read before',
      value: withGetter(1, () => {
        structuredClone(list[0].buffer, { transfer: [list[0].buffer as ArrayBuffer] })
        return list[1]
      }),
      refused: true,
    },
    { what: 'a proxy', value: new Proxy([...list], {}), refused: false },
    { what: 'a list of another realm', value: runInNewContext('[]'), refused: true },
  ]
}

/** Calls with fresh copies; whether it threw. Anything but an ordinary error fails the test. */
function throws(call: Call, args: unknown[], where: string): boolean {
  try {
    call(...args)
    return false
  } catch (error) {
    expect(error, where).toBeInstanceOf(Error)
    return true
  }
}

it.runIf(isas.length === 0)('there are no native kernels here to test', () => {})

describe.each(isas)('%s', isa => {
  const calls = recordedCalls(isa)
  const native = nativeFunctions(isa) as unknown as Record<keyof NativeFunctions, Call>

  it('every entry of the contract was called', () => {
    expect([...calls.keys()].sort()).toEqual(entries.map(([name]) => name).sort())
  })

  describe.each(entries.map(([name, entry]) => [name, entry.parameters] as const))(
    '%s',
    (name, parameters) => {
      const list = Object.entries(parameters as Readonly<Record<string, Parameter>>)
      const isOutput = ({ kind }: Parameter) => ['output', 'counts', 'codesOut'].includes(kind)
      /** Fresh arguments, and everything that may stand for argument `at` of them. */
      const fresh = () => {
        const args = copied(calls.get(name) ?? [])
        const outputs = args.filter((_, i) => isOutput(list[i][1]))
        return { args, spoiledAt: (at: number) => spoiled(list[at][1], args[at], outputs) }
      }

      it('runs as recorded', () => {
        expect(calls.get(name)).toHaveLength(list.length)
        expect(() => native[name](...fresh().args)).not.toThrow()
      })

      it.each(list.map(([key], at) => [key, at] as const))('a spoiled %s', (key, at) => {
        const { length } = fresh().spoiledAt(at)
        for (let i = 0; i < length; i++) {
          const { args, spoiledAt } = fresh()
          const { what, value, refused } = spoiledAt(at)[i]
          const where = `${name}: ${key} is ${what}`
          const threw = throws(native[name], args.with(at, value), where)
          if (refused) expect(threw, where).toBe(true)
        }
      })

      it('two spoiled arguments, a missing one, one too many', () => {
        const random = new RandomStream({ seed: 7, purpose: Purpose.data, stream: 3 })
        // With one parameter alone there is no pair.
        for (let i = 0; i < (list.length > 1 ? 300 : 0); i++) {
          const { args, spoiledAt } = fresh()
          const [a, b] = [random.below(list.length), random.below(list.length)]
          const [first, second] = [spoiledAt(a), spoiledAt(b)]
          const one = first[random.below(first.length)]
          const two = second[random.below(second.length)]
          throws(
            native[name],
            args.with(a, one.value).with(b, two.value),
            `${name}: ${list[a][0]} is ${one.what}, ${list[b][0]} is ${two.what}`,
          )
        }
        const { args } = fresh()
        expect(() => native[name](...args.slice(0, -1))).toThrow()
        expect(() => native[name](...args, 0)).toThrow()
        expect(() => native[name](...args, ...Array(100).fill(0))).toThrow()
      })
    },
  )
})

it('a row number that overflows 32 bits is not taken for a small one', () => {
  for (const isa of isas) {
    const rowOf = Int32Array.of(2 ** 31 - 1, 0)
    const call = () =>
      nativeFunctions(isa).ffnNeurons(
        f(16),
        0,
        f(2),
        f(8),
        f(8),
        new Int32Array(1),
        2,
        8,
        8,
        1,
        true,
        2,
        rowOf,
      )
    expect(call).toThrow(RangeError)
    expect(decodeKernelsOf({ backend: 'native', isa }).isa).toBe(isa)
  }
})

it('sizes whose product overflows 64 bits are a RangeError even where there are no rows', () => {
  const most = 2 ** 31 - 1
  const none = f(0)
  for (const isa of isas) {
    const { cachedAttention, attention } = nativeFunctions(isa)
    expect(() =>
      cachedAttention(none, none, none, [], none, 0, 0, most, most, most - 1, 0, 0, 0, 0, new Int32Array(0)),
    ).toThrow(RangeError)
    expect(() => attention(none, none, none, none, none, 0, most, most, most, most, 0, 0, 0)).toThrow(
      RangeError,
    )
  }
})
