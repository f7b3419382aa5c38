// A mixture of experts: which experts a row goes to and with which factors, the rows of one expert, and the sum of what the
// experts made of them. Shazeer et al. 2017, arXiv 1701.06538.

import { ShapeError } from '../../errors.js'
import { chooseExperts, type Floats } from '../../kernels/index.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

export interface Routing {
  /** (rows, experts): the factor of each expert's output, 0 where it is not chosen. */
  readonly factors: Tensor
  /** Of each expert the rows that chose it, ascending. */
  readonly rows: readonly Int32Array[]
}

/**
 * p = softmax(logits) over all experts, logits: (rows, experts); the `perToken` largest of a row are its factors, divided by
 * their sum where `normalized`. Which are chosen has no gradient. Of equal ones the first is chosen.
 */
export function routing(
  tape: Tape,
  logits: Tensor,
  { perToken, normalized }: { readonly perToken: number; readonly normalized: boolean },
): Routing {
  const { rows, width: experts } = logits
  const factors = tape.output([rows, experts], logits)
  const probabilities = tape.take(logits.size)
  const chosen: number[][] = Array.from({ length: experts }, () => [])
  for (let row = 0; row < rows; row++) {
    const at = row * experts
    const own = chooseExperts(logits.data.subarray(at, at + experts), perToken, probabilities.subarray(at))
    const sum = normalized ? own.reduce((total, expert) => total + probabilities[at + expert], 0) : 1
    factors.data.fill(0, at, at + experts)
    for (const expert of own) {
      factors.data[at + expert] = probabilities[at + expert] / sum
      chosen[expert].push(row)
    }
  }
  tape.record(factors, dOut => {
    const grad = tape.gradToAdd(logits)
    for (let row = 0; row < rows; row++) {
      addRoutingGradient(
        row * experts,
        experts,
        { probabilities, factors: factors.data, dOut, grad },
        normalized,
      )
    }
  })
  return { factors, rows: chosen.map(list => Int32Array.from(list)) }
}

/** Of one row: factor i = p_i / S (S = 1, or the sum over the chosen), p = softmax(logits). */
function addRoutingGradient(
  at: number,
  experts: number,
  of: { probabilities: Floats; factors: Floats; dOut: Floats; grad: Floats },
  normalized: boolean,
): void {
  const { probabilities: p, factors, dOut, grad } = of
  // With normalization the factors are a softmax over the chosen experts alone.
  let mean = 0
  for (let i = at; i < at + experts; i++) mean += dOut[i] * factors[i]
  for (let i = at; i < at + experts; i++) {
    grad[i] += factors[i] * dOut[i] - (normalized ? factors[i] : p[i]) * mean
  }
}

/** Some rows of x (rows, width): (list.length, width). */
export function selectRows(tape: Tape, x: Tensor, list: Int32Array): Tensor {
  const { width } = x
  const out = tape.output([list.length, width], x)
  for (const [i, row] of list.entries()) {
    out.data.set(x.data.subarray(row * width, (row + 1) * width), i * width)
  }
  tape.record(out, dOut => {
    const grad = tape.gradToAdd(x)
    for (const [i, row] of list.entries()) {
      for (let k = 0; k < width; k++) grad[row * width + k] += dOut[i * width + k]
    }
  })
  return out
}

/**
 * Row r of the result (rows, width) is the sum over the experts that it chose of factor · their output: outputs[e] has the rows
 * of expert e in the order of `routing`, null where there are none. Throws ShapeError.
 */
export function mixExperts(
  tape: Tape,
  { factors, rows: lists }: Routing,
  outputs: readonly (Tensor | null)[],
  width: number,
): Tensor {
  const { rows, width: experts } = factors
  const out = tape.output([rows, width], factors, ...outputs)
  out.data.fill(0)
  for (const [expert, values] of outputs.entries()) {
    const list = lists[expert]
    if ((values?.rows ?? 0) !== list.length || (values !== null && values.width !== width)) {
      throw new ShapeError(
        'SHAPE_EXPERTS',
        `experts: output ${show(values?.shape ?? [0])} of expert ${expert} does not fit ${list.length} rows of ${width}`,
      )
    }
    for (const [i, row] of list.entries()) {
      const factor = factors.data[row * experts + expert]
      for (let k = 0; k < width; k++) out.data[row * width + k] += factor * values!.data[i * width + k]
    }
  }
  tape.record(out, dOut => {
    const dFactors = tape.gradToAdd(factors)
    for (const [expert, values] of outputs.entries()) {
      if (values === null) continue
      const grad = tape.gradToAdd(values)
      for (const [i, row] of lists[expert].entries()) {
        const factor = factors.data[row * experts + expert]
        let dot = 0
        for (let k = 0; k < width; k++) {
          const d = dOut[row * width + k]
          dot += d * values.data[i * width + k]
          grad[i * width + k] += factor * d
        }
        dFactors[row * experts + expert] += dot
      }
    }
  })
  return out
}
