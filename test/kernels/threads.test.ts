// Every kernel gives the same bits for any number of threads.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { availableKernels, defaultThreads, setThreads } from '../../src/kernels/index.js'
import { nativeKernels } from '../../src/kernels/native/training.js'
import { hasWasm, WASM_ISA, wasmKernels } from '../../src/kernels/wasm/instance.js'
import { kernelCases } from './cases.js'

const native = availableKernels().filter(({ backend }) => backend !== 'portable')
if (native.length === 0)
  it.skip('needs native kernels or WebAssembly: the portable ones have one thread', () => {})
for (const kernels of native) {
  describe(`${kernels.isa} kernels`, () => {
    // Threads of WebAssembly join when they have started.
    beforeAll(async () => {
      if (kernels.backend !== 'wasm') return
      setThreads(3)
      await wasmKernels().threads.ready()
    })
    afterAll(() => setThreads(defaultThreads()))

    for (const { name, run } of kernelCases()) {
      it(`${name}: the same bits with 1, 2 and 3 threads`, () => {
        const results = [1, 2, 3].map(threads => {
          setThreads(threads)
          return run(kernels, Float32Array).map(floats =>
            Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength),
          )
        })
        for (const other of results.slice(1)) {
          expect(other.every((bytes, i) => bytes.equals(results[0][i]))).toBe(true)
        }
      })
    }
  })
}

describe.runIf(hasWasm())('threads of WebAssembly', () => {
  const [n, m] = [64, 512]
  const a = new Float32Array(n * m).fill(0.5)
  const multiply = () =>
    nativeKernels(WASM_ISA).matmul(a, a, new Float32Array(n * n), n, n, m, false, true, false)

  it('take jobs, and none once there is one thread again', async () => {
    const { threads } = wasmKernels()
    threads.use(2)
    await threads.ready()
    expect(threads.count).toBe(2)
    const before = threads.jobsOfOthers
    // The system decides when a thread runs.
    for (
      const start = performance.now();
      threads.jobsOfOthers === before && performance.now() < start + 9000;
    )
      multiply()
    expect(threads.jobsOfOthers).toBeGreaterThan(before)
    threads.use(1)
    const then = threads.jobsOfOthers
    for (let i = 0; i < 100; i++) multiply()
    expect(threads.jobsOfOthers).toBe(then)
  })
})
