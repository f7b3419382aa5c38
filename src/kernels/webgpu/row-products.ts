// WGSL for products of rows of weights and a vector, by a number of lanes: each lane reads vectors lane, lane + lanes, …
// of a row. The order of every sum is fixed: whatever kernel computes a product of the same shape, it has the same bits.

import type { WeightType } from '../weights/types.js'
import { kQuantScaleFunction } from './k-quant-rows.js'
import { type VectorFormat, vectorFormat } from './vector-formats.js'

export interface RowProductShape {
  readonly type: WeightType
  readonly columns: number
  readonly lanes: number
  /** Vectors of a row that a lane reads before it uses the first. */
  readonly ahead: number
}

/** One of the rows that are multiplied together with the vector: they share what is read of it. */
export interface ProductRow {
  /** Prefix of the names that are declared; `<name>Sum` is this lane's part. */
  readonly name: string
  /** Name of the array<vec4<u32>> with the weights. */
  readonly weights: string
  /** WGSL for where the row begins. */
  readonly base: string
}

/** Statements that declare `v`, the vec4 at index `i` of the vector. */
export type ReadVector = (i: string) => string

export class RowProduct {
  readonly #format: VectorFormat
  readonly #shape: RowProductShape
  readonly #vectors: number
  readonly #steps: number

  constructor(shape: RowProductShape) {
    this.#shape = shape
    this.#format = vectorFormat(shape.type)
    this.#vectors = this.#format.vectors(shape.columns)
    this.#steps = Math.ceil(this.#vectors / shape.lanes)
  }

  /** Functions that the statements call, for weights of that name. */
  functions(weights: string): string {
    return scaleFunction(weights, this.#format)
  }

  /** Statements that declare each row's sum. They use `lane`. */
  products(rows: readonly ProductRow[], x: ReadVector): string {
    const { lanes, ahead } = this.#shape
    const lines = rows.flatMap(({ name }) => this.#sums(name).map(sum => `var ${sum} = vec4<f32>(0.0);`))
    // Whole rounds in a loop, the rest after it.
    const rounds = Math.floor(this.#vectors / lanes / ahead)
    const done = rounds * ahead
    const round = (offset: string) => this.#round(rows, 0, ahead, x, offset, false)
    if (rounds === 1) lines.push('{', round(''), '}')
    if (rounds > 1) {
      lines.push(
        `for (var round = 0u; round < ${rounds}u; round++) {`,
        round(`round * ${ahead * lanes}u + `),
        '}',
      )
    }
    if (done < this.#steps) lines.push('{', this.#round(rows, done, this.#steps, x, '', true), '}')
    for (const { name } of rows) {
      const sums = this.#sums(name)
      lines.push(
        `let ${name}Four = ${sums.length === 1 ? sums[0] : `(${sums.join(' + ')})`};`,
        `let ${name}Sum = (${name}Four.x + ${name}Four.y) + (${name}Four.z + ${name}Four.w);`,
      )
    }
    return lines.join('\n')
  }

  #sums(name: string): string[] {
    const count = this.#format.parts[0].scale === null ? this.#format.parts.length : 1
    return Array.from({ length: count }, (_, n) => `${name}Acc${n}`)
  }

  /** Steps [from, to): what they read of all rows, then what they add. Not `guarded`: rows are known to have them whole. */
  #round(
    rows: readonly ProductRow[],
    from: number,
    to: number,
    x: ReadVector,
    offset: string,
    guarded: boolean,
  ): string {
    const { lanes, columns } = this.#shape
    const scales = this.#format.scaleVectors(columns)
    const loads: string[] = []
    const sums: string[] = []
    for (let step = from; step < to; step++) {
      const k = `(${offset}${step * lanes}u + lane)`
      const inside = guarded && (step + 1) * lanes > this.#vectors ? `${k} < ${this.#vectors}u` : null
      for (const { name, weights, base } of rows) {
        const read = `${weights}[${base} + ${scales}u + ${k}]`
        loads.push(
          inside === null
            ? `let ${name}${step} = ${read};`
            : `var ${name}${step} = vec4<u32>(0u);\nif (${inside}) { ${name}${step} = ${read}; }`,
        )
      }
      sums.push(`${inside === null ? '' : `if (${inside}) `}{ ${this.#step(rows, step, k, x)} }`)
    }
    return [...loads, ...sums].join('\n')
  }

  #step(rows: readonly ProductRow[], step: number, k: string, x: ReadVector): string {
    const { parts } = this.#format
    if (parts[0].scale === null) {
      return parts
        .map((part, n) => {
          const adds = rows.map(({ name }) => {
            const sum = this.#sums(name)[n]
            return `${sum} = fma(${part.values(`${name}${step}`)}, v, ${sum});`
          })
          return `{ ${x(part.at(k))} ${adds.join(' ')} }`
        })
        .join('\n')
    }
    const lines: string[] = []
    for (const index of new Set(parts.map(part => part.scale?.(k)))) {
      const group = parts.filter(part => part.scale?.(k) === index)
      if (this.#format.affine !== undefined) {
        // Rounded as on the CPU: once, by the subtraction.
        const scales = rows.map(
          ({ name, weights, base }) => `let ${name}S = ${weights}Scale(${base}, ${index});`,
        )
        lines.push('{', ...scales)
        for (const part of group) {
          const adds = rows.map(({ name }) => {
            const [sum] = this.#sums(name)
            const value = `fma(vec4<f32>(${name}S.x), ${part.values(`${name}${step}`)}, vec4<f32>(-${name}S.y))`
            return `${sum} = fma(${value}, v, ${sum});`
          })
          lines.push(`{ ${x(part.at(k))} ${adds.join(' ')} }`)
        }
        lines.push('}')
        continue
      }
      // Parts with one scale are added up before it is applied.
      lines.push(`{ ${rows.map(({ name }) => `var ${name}T = vec4<f32>(0.0);`).join(' ')}`)
      for (const part of group) {
        const adds = rows.map(({ name }) => `${name}T = fma(${part.values(`${name}${step}`)}, v, ${name}T);`)
        lines.push(`{ ${x(part.at(k))} ${adds.join(' ')} }`)
      }
      for (const { name, weights, base } of rows) {
        const [sum] = this.#sums(name)
        lines.push(`${sum} = fma(vec4<f32>(${weights}Scale(${base}, ${index})), ${name}T, ${sum});`)
      }
      lines.push('}')
    }
    return lines.join('\n')
  }
}

/**
 * WGSL of the function that reads scale g of the row that begins at vector `base`: f16, eight to a vector, or in affine formats
 * scale and minimum. Empty in formats without.
 */
export function scaleFunction(weights: string, { affine, scaleVectors }: VectorFormat): string {
  if (affine !== undefined) return kQuantScaleFunction(affine, weights)
  if (scaleVectors(1) === 0) return ''
  return `fn ${weights}Scale(base: u32, g: u32) -> f32 {
  return unpack2x16float(${weights}[base + (g >> 3u)][(g >> 1u) & 3u])[g & 1u];
}`
}
