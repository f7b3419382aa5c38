// Every kernel gives the same bits for any number of threads.

import { describe, expect, it } from 'vitest'
import { availableKernels, defaultThreads, setThreads } from '../../src/kernels/index.js'
import { kernelCases } from './cases.js'

const native = availableKernels().filter(({ backend }) => backend === 'native')
if (native.length === 0) it.skip('needs the native kernels: the portable ones have one thread', () => {})
for (const kernels of native) {
  describe(`${kernels.isa} kernels`, () => {
    for (const { name, run } of kernelCases()) {
      it(`${name}: the same bits with 1, 2 and 3 threads`, () => {
        const results = [1, 2, 3].map(threads => {
          setThreads(threads)
          return run(kernels, Float32Array).map(floats =>
            Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength),
          )
        })
        setThreads(defaultThreads())
        for (const other of results.slice(1)) {
          expect(other.every((bytes, i) => bytes.equals(results[0][i]))).toBe(true)
        }
      })
    }
  })
}
