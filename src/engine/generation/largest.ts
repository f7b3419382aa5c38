// The largest of many values without sorting them all, for top-k, top-p and the most likely alternatives in a vocabulary
// of 50,000.

/**
 * The ids of the `k` largest values, the largest first, equal ones in the order of their ids; all ids when k is larger.
 * A heap of k ids whose root is the worst: each value costs one comparison unless it is among the best so far.
 * Values must not be NaN.
 */
export function largest(values: Float32Array | Float64Array, k: number): Int32Array {
  const size = Math.min(k, values.length)
  const heap = new Int32Array(size)
  for (let id = 0; id < size; id++) heap[id] = id
  for (let root = (size >> 1) - 1; root >= 0; root--) siftDown(values, heap, root, size)
  for (let id = size; id < values.length && size > 0; id++) {
    // A value equal to the root's comes after it in the order, since its id is larger.
    if (values[id] <= values[heap[0]]) continue
    heap[0] = id
    siftDown(values, heap, 0, size)
  }
  // Moving the worst to the end, again and again, sorts the ids, the best first.
  for (let end = size - 1; end > 0; end--) {
    const worst = heap[0]
    heap[0] = heap[end]
    heap[end] = worst
    siftDown(values, heap, 0, end)
  }
  return heap
}

/**
 * The threshold at which the sum of the largest `values` (none negative) reaches `wanted`: every value above `threshold`
 * counts, and `equals` (at least one) of those equal to it. Quickselect (Hoare 1961) with sums instead of counts: linear
 * time on average; reorders `values`.
 */
export function massThreshold(values: Float64Array, wanted: number): { threshold: number; equals: number } {
  let [low, high, reached] = [0, values.length, 0]
  for (;;) {
    const pivot = values[(low + high) >> 1]
    // Three parts: above the pivot up to `above`, equal to it up to `at`, below it from `below` on.
    let [above, at, below, mass] = [low, low, high, 0]
    while (at < below) {
      const value = values[at]
      if (value > pivot) {
        mass += value
        values[at++] = values[above]
        values[above++] = value
      } else if (value < pivot) {
        values[at] = values[--below]
        values[below] = value
      } else at++
    }
    const equal = (at - above) * pivot
    if (above > low && reached + mass >= wanted) high = above
    // Rounding may leave the sum of the last values below what is still missing.
    else if (reached + mass + equal >= wanted || below === high) {
      const missing = pivot > 0 ? Math.ceil((wanted - reached - mass) / pivot) : 1
      return { threshold: pivot, equals: Math.min(Math.max(missing, 1), at - above) }
    } else {
      reached += mass + equal
      low = below
    }
  }
}

/** Restores the heap of `heap[0 … size)` below `at`. */
function siftDown(values: Float32Array | Float64Array, heap: Int32Array, at: number, size: number): void {
  const id = heap[at]
  const value = values[id]
  for (;;) {
    let child = 2 * at + 1
    if (child >= size) break
    if (child + 1 < size && isWorse(values, heap[child + 1], heap[child])) child++
    const other = heap[child]
    if (values[other] > value || (values[other] === value && other < id)) break
    heap[at] = other
    at = child
  }
  heap[at] = id
}

function isWorse(values: Float32Array | Float64Array, a: number, b: number): boolean {
  return values[a] < values[b] || (values[a] === values[b] && a > b)
}
