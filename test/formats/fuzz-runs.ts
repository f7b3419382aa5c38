// How many damaged files a fuzzing test tries: a few in `npm test`, thousands in `npm run test:full`, which also holds each of
// them to a second.

const full = process.env.FLICKER_FULL !== undefined

/** `few` runs, or 10,000. */
export function mutants(few: number): { numRuns: number } {
  return { numRuns: full ? 10_000 : few }
}

/** A test with `mutants` may take so long, in milliseconds. */
export const FUZZ_TIMEOUT = full ? 1_200_000 : 60_000

/** Runs `read`; in the full form throws if it takes longer than a second twice: the first time may be the machine's. */
export function withinASecond(read: () => void): void {
  if (secondsOf(read) <= 1 || !full) return
  const seconds = secondsOf(read)
  if (seconds > 1) throw new Error(`a damaged file took ${seconds} s`)
}

function secondsOf(read: () => void): number {
  const start = performance.now()
  read()
  return (performance.now() - start) / 1000
}
