// How the reads of several sessions share passes.

/** Positions that are computed together: each weight is read once for all of them. */
export const PREFILL_BLOCK = 512

/** Tokens [start, start + count) of a read. */
export interface ReadPart {
  readonly read: number
  readonly start: number
  readonly count: number
}

/** All tokens of all reads in order, in passes of PREFILL_BLOCK rows; a read may continue in the next pass. */
export function passesOf(reads: readonly { readonly tokens: ArrayLike<number> }[]): ReadPart[][] {
  const passes: ReadPart[][] = []
  let room = 0
  for (const [read, { tokens }] of reads.entries()) {
    for (let start = 0; start < tokens.length; ) {
      if (room === 0) {
        passes.push([])
        room = PREFILL_BLOCK
      }
      const count = Math.min(room, tokens.length - start)
      passes[passes.length - 1].push({ read, start, count })
      room -= count
      start += count
    }
  }
  return passes
}

/** Indices of `roots`, equal roots next to each other. */
export function groupedByPrefix(roots: readonly object[]): number[] {
  const groups = new Map<object, number[]>()
  for (const [i, root] of roots.entries()) {
    const group = groups.get(root)
    if (group === undefined) groups.set(root, [i])
    else group.push(i)
  }
  return [...groups.values()].flat()
}
