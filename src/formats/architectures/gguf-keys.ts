// The keys of a GGUF header that describe a model, as llama.cpp names them (llama-arch.cpp): read with their types, and
// remembered, so that a key that changes the results is read or refused by name, never ignored.

import { MOST_LAYERS } from '../../nn/config.js'
import { valueText } from '../gguf/metadata-text.js'
import { ggufInvalid } from '../gguf/parse.js'
import type { GgufTensor, Metadata } from '../gguf/types.js'

/** A key, its type and its value, in the order of the file. */
export type MetadataEntry =
  | readonly [key: string, type: 'u32' | 'f32', value: number]
  | readonly [key: string, type: 'string', value: string]
  | readonly [key: string, type: 'bool', value: boolean]
  | readonly [key: string, type: 'strings', value: readonly string[]]
  | readonly [key: string, type: 'f32s' | 'i32s', value: readonly number[]]

export class GgufKeys {
  readonly #read = new Set<string>()

  constructor(
    readonly file: string,
    readonly metadata: Metadata,
    readonly tensors: ReadonlyMap<string, GgufTensor>,
    readonly architecture: string,
  ) {}

  /** Names, without the prefix, that have been read. */
  get read(): ReadonlySet<string> {
    return this.#read
  }

  /** How many layers there are, checked: lists per layer are made of it. */
  get layers(): number {
    const layers = this.number('block_count')
    if (Number.isInteger(layers) && layers >= 1 && layers <= MOST_LAYERS) return layers
    throw ggufInvalid(
      this.file,
      `${this.architecture}.block_count must be an integer from 1 to ${MOST_LAYERS}, not ${layers}`,
    )
  }

  /** A number. Throws CheckpointError GGUF_INVALID where it is missing and there is no `otherwise`. */
  number(name: string, otherwise?: number): number {
    return this.#field(name, 'number', otherwise)
  }

  text(name: string, otherwise?: string): string {
    return this.#field(name, 'string', otherwise)
  }

  flag(name: string, otherwise?: boolean): boolean {
    return this.#field(name, 'boolean', otherwise)
  }

  /** A number stored as f32, as the decimal that it was written from: 1e-5, not 0.000009999999747378752. */
  decimal(name: string, otherwise?: number): number {
    const value = this.number(name, otherwise)
    const short = Number(value.toPrecision(7))
    return Math.fround(short) === Math.fround(value) ? short : value
  }

  /** A decimal, or undefined where it is missing or one of `neutral`, which stand for "none". */
  optional(name: string, ...neutral: number[]): number | undefined {
    const value = this.decimal(name, Number.NaN)
    return Number.isNaN(value) || neutral.includes(value) ? undefined : value
  }

  has(name: string): boolean {
    return this.metadata.has(`${this.architecture}.${name}`)
  }

  /** Whether layer 0 has a tensor of this name. */
  hasInLayer(name: string): boolean {
    return this.tensors.has(`blk.0.${name}`)
  }

  /**
   * An integer that llama.cpp allows to differ from layer to layer. Throws CheckpointError GGUF_INVALID for a list whose values
   * differ, and for anything but numbers.
   */
  perLayer(name: string, layers: number, otherwise?: number): number {
    const key = `${this.architecture}.${name}`
    const value = this.metadata.get(key)
    if (value === undefined || typeof value === 'number') return this.number(name, otherwise)
    this.#read.add(name)
    if (!(value instanceof Float64Array)) {
      throw ggufInvalid(this.file, `${key} is ${valueText(value)}, not a number`)
    }
    if (value.length < layers) {
      throw ggufInvalid(this.file, `${key} has ${value.length} values for ${layers} layers`)
    }
    if (value.subarray(0, layers).some(element => element !== value[0])) {
      throw ggufInvalid(this.file, `${key} differs from layer to layer, which is not supported`)
    }
    return value[0]
  }

  #field<T>(name: string, type: 'number' | 'string' | 'boolean', otherwise?: T): T {
    this.#read.add(name)
    const key = `${this.architecture}.${name}`
    const value = this.metadata.get(key) ?? otherwise
    if (value === undefined) throw ggufInvalid(this.file, `${key} is missing from the metadata`)
    if (typeof value !== type)
      throw ggufInvalid(this.file, `${key} is ${valueText(value as never)}, not a ${type}`)
    return value as T
  }
}
