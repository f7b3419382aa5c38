// How a call's arguments reach the WebAssembly kernels: written as values into the module's memory, where
// native/wasm/node_api.h reads them and native/arguments.h checks them. Arrays that do not lie in that memory are copied
// into it, as many elements as the call needs, and copied back if the call writes to them.

import { FlickerError } from '../../errors.js'
import type { Entry, Parameter } from '../native/contract/parameters.js'
import type { WasmExports, WasmMemory } from './memory.js'

/** `FlickerKind` in native/wasm/node_api.h. */
const kinds = {
  undefined: 0,
  null: 1,
  number: 2,
  boolean: 3,
  Float32Array: 4,
  Int32Array: 5,
  Int8Array: 6,
  Uint8Array: 7,
  Uint16Array: 8,
  otherArray: 9,
  list: 10,
} as const
type ArrayName = 'Float32Array' | 'Int32Array' | 'Int8Array' | 'Uint8Array' | 'Uint16Array'
type CopiedArray = Float32Array | Int32Array | Int8Array | Uint8Array | Uint16Array

/** `FlickerCall` and `FlickerValue` in native/wasm/node_api.h, in bytes. */
const ERROR_AT = 8
const ERROR_BYTES = 248
const FATAL_AT = 256
const COUNT_AT = 260
const VALUES_AT = 264
const VALUE_BYTES = 24
const MOST_VALUES = 24
const CALL_BYTES = VALUES_AT + MOST_VALUES * VALUE_BYTES

/** Arrays are copied to multiples of this. */
const ALIGNMENT = 64
const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT

const WRITTEN = new Set<Parameter['kind']>(['output', 'counts', 'codesOut', 'list'])

/** One parameter of an entry. */
interface Passed {
  readonly written: boolean
  /** How many elements the call needs of an array, given all arguments; null: all that there are. */
  readonly needed: ((args: readonly unknown[]) => number) | null
}

/** An array that has been, or is to be, copied to `address`. */
interface Copy {
  readonly array: CopiedArray
  readonly name: ArrayName
  readonly address: number
  readonly length: number
  readonly written: boolean
}

/** Makes calls, one at a time. */
export class WasmCalls {
  readonly #memory: WasmMemory
  readonly #exports: WasmExports
  readonly #call: number
  #room: Uint8Array
  #used = 0
  #copies: Copy[] = []

  constructor(memory: WasmMemory, exports: WasmExports) {
    this.#memory = memory
    this.#exports = exports
    this.#call = memory.allocate(CALL_BYTES).byteOffset
    this.#room = memory.allocate(1 << 16)
  }

  /** The function that runs entry number `index`. */
  function(index: number, { parameters, returns }: Entry): (...args: unknown[]) => unknown {
    const names = Object.keys(parameters)
    const passed = names.map(
      (name): Passed => ({
        written: WRITTEN.has(parameters[name].kind),
        needed: neededElements(parameters[name], names),
      }),
    )
    return (...args) => {
      this.#write(passed, args)
      this.#exports.run(index, this.#call)
      const result = this.#finish()
      return returns === 'number' ? result : undefined
    }
  }

  #write(passed: readonly Passed[], args: readonly unknown[]): void {
    this.#used = 0
    this.#copies = []
    this.#reserve(passed, args)
    const { data } = this.#memory.views
    data.setUint32(this.#call + COUNT_AT, args.length, true)
    for (let i = 0; i < Math.min(args.length, MOST_VALUES); i++) {
      this.#writeValue(data, this.#call + VALUES_AT + i * VALUE_BYTES, args[i], passed[i], args)
    }
    for (const { array, name, address, length } of this.#copies) {
      const whole = array.length === length ? array : array.subarray(0, length)
      const view = this.#memory.views[name]
      view.set(whole, address / view.BYTES_PER_ELEMENT)
    }
  }

  /** Makes room for all that is to be copied. */
  #reserve(passed: readonly Passed[], args: readonly unknown[]): void {
    let bytes = 0
    for (let i = 0; i < args.length; i++) {
      const value = args[i]
      if (typeof value !== 'object' || value === null) continue
      if (!Array.isArray(value)) bytes += this.#bytesToCopy(value, passed[i], args)
      else {
        bytes += aligned(value.length * VALUE_BYTES)
        for (const element of value) bytes += this.#bytesToCopy(element, undefined, args)
      }
    }
    if (bytes <= this.#room.length) return
    this.#memory.release(this.#room)
    this.#room = this.#memory.allocate(2 * bytes)
  }

  #bytesToCopy(value: unknown, passed: Passed | undefined, args: readonly unknown[]): number {
    const name = arrayName(value)
    if (name === null || this.#memory.holds(value as CopiedArray)) return 0
    const array = value as CopiedArray
    return aligned(copiedLength(array, passed, args) * array.BYTES_PER_ELEMENT)
  }

  #writeValue(
    data: DataView,
    at: number,
    value: unknown,
    passed: Passed | undefined,
    args: readonly unknown[],
  ): void {
    if (typeof value === 'number' || typeof value === 'boolean') {
      data.setUint32(at, typeof value === 'number' ? kinds.number : kinds.boolean, true)
      data.setFloat64(at + 16, Number(value), true)
    } else if (value === null) {
      data.setUint32(at, kinds.null, true)
    } else if (Array.isArray(value)) {
      const elements = this.#take(value.length * VALUE_BYTES)
      this.#writeArray(data, at, kinds.list, elements, value.length)
      for (let i = 0; i < value.length; i++) {
        this.#writeValue(data, elements + i * VALUE_BYTES, value[i], passed, args)
      }
    } else {
      const name = arrayName(value)
      if (name !== null) this.#passArray(data, at, name, value as CopiedArray, passed, args)
      else data.setUint32(at, ArrayBuffer.isView(value) ? kinds.otherArray : kinds.undefined, true)
    }
  }

  #passArray(
    data: DataView,
    at: number,
    name: ArrayName,
    array: CopiedArray,
    passed: Passed | undefined,
    args: readonly unknown[],
  ): void {
    if (this.#memory.holds(array)) {
      this.#writeArray(data, at, kinds[name], array.byteOffset, array.length)
      return
    }
    const length = copiedLength(array, passed, args)
    const address = this.#take(length * array.BYTES_PER_ELEMENT)
    this.#copies.push({ array, name, address, length, written: passed?.written ?? false })
    this.#writeArray(data, at, kinds[name], address, length)
  }

  #writeArray(data: DataView, at: number, kind: number, address: number, length: number): void {
    data.setUint32(at, kind, true)
    data.setUint32(at + 4, address, true)
    data.setUint32(at + 8, length, true)
  }

  #take(bytes: number): number {
    const address = this.#room.byteOffset + this.#used
    this.#used += aligned(bytes)
    return address
  }

  /** Throws what went wrong; else copies back what was written and returns the call's result. */
  #finish(): number {
    const { views } = this.#memory
    if (views.Uint8Array[this.#call + ERROR_AT] !== 0) throw this.#error(views.Uint8Array, views.data)
    for (const { array, name, address, length, written } of this.#copies) {
      if (!written) continue
      const view = views[name]
      const first = address / view.BYTES_PER_ELEMENT
      array.set(view.subarray(first, first + length))
    }
    return views.data.getFloat64(this.#call, true)
  }

  #error(bytes: Uint8Array, data: DataView): Error {
    const from = this.#call + ERROR_AT
    const text = bytes.slice(
      from,
      bytes.indexOf(0, from + 1) < 0 ? from + ERROR_BYTES : bytes.indexOf(0, from),
    )
    const message = new TextDecoder().decode(text)
    if (data.getUint32(this.#call + FATAL_AT, true) !== 0) {
      return new FlickerError('NATIVE_OUT_OF_MEMORY', `WebAssembly kernels: ${message}`, { exitCode: 1 })
    }
    return Object.assign(new RangeError(message), { code: 'NATIVE_ARGUMENT' })
  }
}

/** The name of the array's type, where it is one that kernels take. */
function arrayName(value: unknown): ArrayName | null {
  if (value instanceof Float32Array) return 'Float32Array'
  if (value instanceof Uint8Array) return 'Uint8Array'
  if (value instanceof Int32Array) return 'Int32Array'
  if (value instanceof Int8Array) return 'Int8Array'
  return value instanceof Uint16Array ? 'Uint16Array' : null
}

function copiedLength(array: CopiedArray, passed: Passed | undefined, args: readonly unknown[]): number {
  const needed = passed?.needed?.(args) ?? Number.POSITIVE_INFINITY
  return needed >= 0 ? Math.min(array.length, needed) : array.length
}

/**
 * How many elements a parameter's shape comes to, for shapes whose factors are sums of products of arguments and numbers:
 * `heads + 2 * kvHeads`. Null for others, and for none.
 */
function neededElements(
  { shape, kind }: Parameter,
  names: readonly string[],
): ((args: readonly unknown[]) => number) | null {
  // Of codes the shape is a part of the matter: the C++ behind the entry checks the rest.
  const isWhole = kind !== 'weights' && kind !== 'codes' && kind !== 'codesOut'
  if (!isWhole || shape.length === 0 || !shape.every(factor => /^[\w +*]+$/.test(factor))) return null
  const operand = (text: string) => (/^\d+$/.test(text) ? Number(text) : text)
  const factors = shape.map(factor =>
    factor.split('+').map(term => term.split('*').map(t => operand(t.trim()))),
  )
  const positions = new Map(names.map((name, i) => [name, i]))
  const known = (of: string | number) => typeof of === 'number' || positions.has(of)
  if (!factors.every(terms => terms.every(term => term.every(known)))) return null
  return args => {
    const value = (of: string | number) => (typeof of === 'number' ? of : Number(args[positions.get(of)!]))
    let elements = 1
    for (const terms of factors) {
      let sum = 0
      for (const term of terms) sum += term.reduce<number>((product, of) => product * value(of), 1)
      elements *= sum
    }
    return elements
  }
}
