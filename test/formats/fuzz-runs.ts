// How many damaged files a fuzzing test tries: a few in `npm test`, thousands in `npm run test:full`, which also holds each of
// them to a second.

const full = process.env.FLICKER_FULL !== undefined

/** `few` runs, or 10,000. */
export function mutants(few: number): { numRuns: number } {
  return { numRuns: full ? 10_000 : few }
}

/** A test with `mutants` may take so long, in milliseconds. */
export const FUZZ_TIMEOUT = full ? 1_800_000 : 60_000

/** Runs `read`; throws if it takes more than a second of the processor's time, which other programs do not lengthen. */
export function withinASecond(read: () => void): void {
  const seconds = secondsOf(read)
  // Compiling and collecting garbage are in it too: once in thousands of files that may add up to a second.
  if (full && seconds > 1 && secondsOf(read) > 1) throw new Error(`a damaged file took ${seconds} s`)
}

function secondsOf(read: () => void): number {
  const start = process.cpuUsage()
  read()
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1e6
}
