// Two orders of the rows of q_proj and k_proj. Hugging Face turns elements i and i + headDim/2 of a head together
// (halves), llama.cpp's `llama` and llama2.c turn elements 2i and 2i + 1 (pairs). The same model has its rows permuted.

/**
 * Rows in the order of pairs → rows in the order of halves. bytes: `rows` rows of equal length, whole heads; the
 * type of the numbers does not matter.
 */
export function pairsToHalves(bytes: Uint8Array, rows: number, headDim: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rows, headDim, (pair, halves) => [pair, halves])
}

/** The inverse of `pairsToHalves`. */
export function halvesToPairs(bytes: Uint8Array, rows: number, headDim: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rows, headDim, (pair, halves) => [halves, pair])
}

/** `direction` picks where a row comes from and where it goes, given its place in the two orders. */
function reordered(
  bytes: Uint8Array,
  rows: number,
  headDim: number,
  direction: (pair: number, halves: number) => [from: number, to: number],
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(bytes.length))
  const width = bytes.length / rows
  for (let head = 0; head < rows; head += headDim) {
    for (let i = 0; i < headDim / 2; i++) {
      for (const half of [0, 1]) {
        const [from, to] = direction(head + 2 * i + half, head + i + (half * headDim) / 2)
        out.set(bytes.subarray(from * width, (from + 1) * width), to * width)
      }
    }
  }
  return out
}
