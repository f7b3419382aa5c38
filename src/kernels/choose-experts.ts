// The router of a mixture of experts at one position: the same for training and for decoding.

/** probabilities (experts) = softmax(logits); returns the `count` experts with the largest, ascending. */
export function chooseExperts(
  logits: ArrayLike<number>,
  count: number,
  probabilities: { [index: number]: number },
): number[] {
  const experts = logits.length
  let largest = Number.NEGATIVE_INFINITY
  for (let i = 0; i < experts; i++) largest = Math.max(largest, logits[i])
  let sum = 0
  for (let i = 0; i < experts; i++) {
    probabilities[i] = Math.exp(logits[i] - largest)
    sum += probabilities[i]
  }
  for (let i = 0; i < experts; i++) probabilities[i] /= sum
  const chosen: number[] = []
  for (let i = 0; i < experts; i++) {
    let at = chosen.length
    while (at > 0 && logits[chosen[at - 1]] < logits[i]) at--
    if (at < count) {
      chosen.splice(at, 0, i)
      if (chosen.length > count) chosen.pop()
    }
  }
  return chosen.sort((a, b) => a - b)
}
