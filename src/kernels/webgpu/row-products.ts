// WGSL for the product of a row of weights and a vector, by a number of lanes: each lane reads vectors lane, lane + lanes, …
// of the row. The order of every sum is fixed: whatever kernel computes a product of the same shape, it has the same bits.

import type { WeightType } from '../weights/types.js'
import { type VectorFormat, vectorFormat } from './vector-formats.js'

export interface RowProductShape {
  readonly type: WeightType
  readonly columns: number
  readonly lanes: number
  /** Vectors that a lane reads before it uses the first. */
  readonly ahead: number
  /** Name of the array<vec4<u32>> with the weights; prefix of the names that are declared. */
  readonly weights: string
}

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

  /** Functions that the other parts call. */
  get functions(): string {
    const { weights } = this.#shape
    return this.#format.scaleVectors(1) === 0 ? '' : scaleFunction(weights)
  }

  /**
   * Statements that read the row that begins at vector `base`, where it is short enough to be read at once: they depend on
   * nothing else, so they can stand before what computes x.
   */
  loads(base: string): string {
    return this.#steps > this.#shape.ahead ? '' : this.#load(base, 0, this.#steps)
  }

  /** Statements after `loads`: declares `<weights>Sum`, this lane's part. x: WGSL for vec4 `i` of the vector. */
  product(base: string, x: (i: string) => string): string {
    const { weights, lanes, ahead } = this.#shape
    const sums = this.#sums
    const lines = sums.map(name => `var ${name} = vec4<f32>(0.0);`)
    if (this.#steps <= ahead) lines.push(this.#multiply(base, 0, this.#steps, x))
    else {
      // Whole rounds in a loop, the rest after it.
      const rounds = Math.floor(this.#vectors / lanes / ahead)
      if (rounds > 0) {
        lines.push(
          `for (var round = 0u; round < ${rounds}u; round++) {`,
          this.#load(base, 0, ahead, `round * ${ahead * lanes}u + `, false),
          this.#multiply(base, 0, ahead, x, `round * ${ahead * lanes}u + `, false),
          '}',
        )
      }
      const done = rounds * ahead
      if (done < this.#steps) {
        lines.push('{', this.#load(base, done, this.#steps), this.#multiply(base, done, this.#steps, x), '}')
      }
    }
    const total = sums.length === 1 ? sums[0] : `(${sums.join(' + ')})`
    lines.push(
      `let ${weights}Four = ${total};`,
      `let ${weights}Sum = (${weights}Four.x + ${weights}Four.y) + (${weights}Four.z + ${weights}Four.w);`,
    )
    return lines.join('\n')
  }

  get #sums(): string[] {
    const count = this.#format.parts[0].scale === null ? this.#format.parts.length : 1
    return Array.from({ length: count }, (_, n) => `${this.#shape.weights}Acc${n}`)
  }

  /** Vector of this lane in a step, and the condition under which the row has it; null: always. */
  #vector(step: number, offset: string, guarded: boolean): { k: string; inside: string | null } {
    const { lanes } = this.#shape
    const k = `(${offset}${step * lanes}u + lane)`
    return { k, inside: guarded && (step + 1) * lanes > this.#vectors ? `${k} < ${this.#vectors}u` : null }
  }

  #load(base: string, from: number, to: number, offset = '', guarded = true): string {
    const { weights, columns } = this.#shape
    const first = this.#format.scaleVectors(columns)
    const lines: string[] = []
    for (let step = from; step < to; step++) {
      const { k, inside } = this.#vector(step, offset, guarded)
      const read = `${weights}[${base} + ${first}u + ${k}]`
      if (inside === null) lines.push(`let ${weights}${step} = ${read};`)
      else
        lines.push(
          `var ${weights}${step} = vec4<u32>(0u);`,
          `if (${inside}) { ${weights}${step} = ${read}; }`,
        )
    }
    return lines.join('\n')
  }

  #multiply(
    base: string,
    from: number,
    to: number,
    x: (i: string) => string,
    offset = '',
    guarded = true,
  ): string {
    const { weights } = this.#shape
    const lines: string[] = []
    for (let step = from; step < to; step++) {
      const { k, inside } = this.#vector(step, offset, guarded)
      const body = this.#products(base, `${weights}${step}`, k, x)
      lines.push(inside === null ? `{ ${body} }` : `if (${inside}) { ${body} }`)
    }
    return lines.join('\n')
  }

  #products(base: string, v: string, k: string, x: (i: string) => string): string {
    const { weights } = this.#shape
    const { parts } = this.#format
    const sums = this.#sums
    if (parts[0].scale === null) {
      return parts
        .map((part, n) => `${sums[n]} = fma(${part.values(v)}, ${x(part.at(k))}, ${sums[n]});`)
        .join(' ')
    }
    // Parts with one scale are added up before it is applied.
    const lines: string[] = []
    for (const index of new Set(parts.map(part => part.scale?.(k)))) {
      const group = parts.filter(part => part.scale?.(k) === index)
      const terms = group.map((part, n) => {
        const [values, of] = [part.values(v), x(part.at(k))]
        return n === 0 ? `var t = ${values} * ${of};` : `t = fma(${values}, ${of}, t);`
      })
      const scale = `${weights}Scale(${base}, ${index})`
      lines.push(`{ ${terms.join(' ')} ${sums[0]} = fma(vec4<f32>(${scale}), t, ${sums[0]}); }`)
    }
    return lines.join(' ')
  }
}

/** WGSL of the function that reads scale g of the row that begins at vector `base`: f16, eight to a vector. */
export function scaleFunction(weights: string): string {
  return `fn ${weights}Scale(base: u32, g: u32) -> f32 {
  return unpack2x16float(${weights}[base + (g >> 3u)][(g >> 1u) & 3u])[g & 1u];
}`
}
