// What runs here: for `flicker info`, benchmarks and results.

import { availableParallelism, cpus } from 'node:os'
import { version } from '../version.js'
import { kernels, nativeInstructionSets } from './index.js'

export type MachineInfo = ReturnType<typeof machineInfo>

export function machineInfo() {
  const { backend, isa, threads } = kernels()
  return {
    version,
    backend,
    isa,
    available: nativeInstructionSets(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    threads,
    node: process.version,
  }
}
