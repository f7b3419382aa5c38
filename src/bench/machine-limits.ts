// `flicker bench machine`: the limits of this machine, which every other benchmark is held against.

import { kernels, measureMachine, setThreads } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'

export interface MachineResult {
  machine: MachineInfo
  limits: { threads: number; gflops: number; gigabytesPerSecond: number }[]
}

/** Multiply-adds and streaming reads with one thread and with all; empty on the portable backend. */
export function benchMachine(): MachineResult {
  const machine = machineInfo()
  const { backend, isa } = kernels()
  if (backend === 'portable') return { machine, limits: [] }
  const limits = [...new Set([1, machine.threads])].map(threads => {
    setThreads(threads)
    const { flops, bytesPerSecond } = measureMachine(isa)
    return { threads, gflops: flops / 1e9, gigabytesPerSecond: bytesPerSecond / 1e9 }
  })
  setThreads(machine.threads)
  return { machine, limits }
}
