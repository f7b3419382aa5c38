// Runs the command line inside the test: for commands whose output and exit code count, and not their process.

import { vi } from 'vitest'
import { main } from '../../src/cli/main.js'
import type { Finished } from './run.js'

/** Runs one command; not two at a time, since they share the process's streams. */
export async function flickerHere(args: readonly string[]): Promise<Finished> {
  const output = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map(stream =>
    vi.spyOn(process[stream], 'write').mockImplementation(chunk => {
      output[stream] += String(chunk)
      return true
    }),
  )
  try {
    return { code: await main(args), ...output }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}
