// The largest of many numbers without sorting them all: what top-k, top-p and the likeliest alternatives need of a
// vocabulary of 50,000.

/**
 * The ids of the `k` largest values, the largest first, equals in the order of their ids; all of them when k is larger.
 * A heap of k ids whose root is the worst: each value costs one comparison unless it is among the best so far.
 * Values must not be NaN.
 */
export function largest(values: Float32Array | Float64Array, k: number): Int32Array {
  const size = Math.min(k, values.length)
  const heap = new Int32Array(size)
  for (let id = 0; id < size; id++) heap[id] = id
  for (let root = (size >> 1) - 1; root >= 0; root--) siftDown(values, heap, root, size)
  for (let id = size; id < values.length && size > 0; id++) {
    // An equal of the root comes after it in the order, since its id is larger.
    if (values[id] <= values[heap[0]]) continue
    heap[0] = id
    siftDown(values, heap, 0, size)
  }
  // Taking the worst away again and again leaves the ids in order, the best first.
  for (let end = size - 1; end > 0; end--) {
    const worst = heap[0]
    heap[0] = heap[end]
    heap[end] = worst
    siftDown(values, heap, 0, end)
  }
  return heap
}

/**
 * Where the largest of `values` (none negative) reach `wanted` together: every value above `threshold`, and so many
 * `equals` of it, at least one. Quickselect (Hoare 1961) that weighs the sides instead of counting them: linear time on
 * average; reorders `values`.
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
    // Rounding may leave the last of them short of what all of them were found to hold.
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
