// The lab's network once more, in the plainest way there is: loops over samples and neurons in double precision.

export interface NaiveLayer {
  /** weight[out][in]. */
  readonly weight: readonly (readonly number[])[]
  readonly bias: readonly number[]
}

/** The layers of a parameter buffer, for activations without learned parameters. */
export function naiveLayers(widths: readonly number[], parameters: ArrayLike<number>): NaiveLayer[] {
  let at = 0
  const take = (n: number) => Array.from({ length: n }, () => parameters[at++])
  return widths.slice(1).map((outputs, i) => {
    const weight = Array.from({ length: outputs }, () => take(widths[i]))
    return { weight, bias: take(outputs) }
  })
}

/** Hidden activations of every layer, and the logits, of one sample. */
export function naiveForward(
  layers: readonly NaiveLayer[],
  x: readonly number[],
  f: (x: number) => number,
): { hidden: number[][]; logits: number[] } {
  const hidden: number[][] = []
  let h = [...x]
  for (const [i, { weight, bias }] of layers.entries()) {
    const z = weight.map((row, o) => row.reduce((sum, w, j) => sum + w * h[j], bias[o]))
    if (i === layers.length - 1) return { hidden, logits: z }
    h = z.map(f)
    hidden.push(h)
  }
  return { hidden, logits: h }
}

/** −log softmax(logits)[target]. */
export function naiveLoss(logits: readonly number[], target: number): number {
  return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[target]
}
