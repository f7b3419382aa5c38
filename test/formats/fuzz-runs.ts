// How many damaged files a fuzzing test tries: a few in `npm test`, thousands in `npm run test:full`, which also holds each of
// them to a second and to 200 MB.

const full = process.env.FLICKER_FULL !== undefined

/** `few` runs, or 10,000. */
export function mutants(few: number): { numRuns: number } {
  return { numRuns: full ? 10_000 : few }
}

/** A test with `mutants` may take so long, in milliseconds. */
export const FUZZ_TIMEOUT = full ? 3_600_000 : 60_000

/** Memory that a damaged file may take beyond its own size, in bytes. */
const MEMORY = 200e6

/**
 * Runs `read`, which reads a file of `size` bytes; throws if it takes more than a second of the processor's time, which other
 * programs do not lengthen, or more than 200 MB beyond the file's size.
 */
export function withinLimits(read: () => void, size = 0): void {
  const before = peakMemory()
  const seconds = secondsOf(read)
  if (!full) return
  // Compiling and collecting garbage are in it too: once in thousands of files that may add up to a second, or to a new peak.
  if (seconds > 1 && secondsOf(read) > 1) throw new Error(`a damaged file took ${seconds} s`)
  const more = peakMemory() - before
  if (more > MEMORY + size) throw new Error(`a damaged file of ${size} bytes took ${more} bytes of memory`)
}

/** The most memory that the process has had, in bytes. */
function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024
}

function secondsOf(read: () => void): number {
  const start = process.cpuUsage()
  read()
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1e6
}
