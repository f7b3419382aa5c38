// The WebAssembly kernels beside what all backends are tested for: the bits of x86-64 without multiply-adds, memory, and
// arguments. In CI (FLICKER_WASM=required) they must have been built; elsewhere these tests are skipped without them.

import { describe, expect, it } from 'vitest'
import { collectedBytes, nativeInstructionSets } from '../../src/kernels/index.js'
import { nativeFunctions } from '../../src/kernels/native/addon.js'
import { nativeDecodeKernels } from '../../src/kernels/native/decoding.js'
import { nativeKernels } from '../../src/kernels/native/training.js'
import { allocateInWasm, hasWasm, WASM_ISA, wasmKernels } from '../../src/kernels/wasm/instance.js'
import { allocateWeights, storeRow, weightBytes } from '../../src/kernels/weights/quantized.js'
import { weightTypes } from '../../src/kernels/weights/types.js'
import { kernelCases } from './cases.js'

const built = hasWasm()
if (process.env.FLICKER_WASM === 'required' && !built) {
  throw new Error('FLICKER_WASM is required, but the WebAssembly kernels are not built: npm run build:wasm')
}
const suite = built ? describe : describe.skip
const withX86 = nativeInstructionSets().includes('x86-64')

const numbers = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(seed + 1.7 * i)))

suite(built ? 'WebAssembly' : 'WebAssembly (skipped: npm run build:wasm has not run)', () => {
  const bits = (values: ArrayLike<number>) => Buffer.from(Float32Array.from(values).buffer).toString('base64')

  // AdamW takes powers of its factors from the C library, which is another one.
  const cases = kernelCases().filter(({ name }) => !name.toLowerCase().includes('adamw'))
  describe.skipIf(!withX86)(
    withX86 ? 'has the bits of x86-64' : 'has the bits of x86-64 (skipped: those kernels are not built)',
    () => {
      it.each(cases.map(one => [one.name, one] as const))('%s', (_, one) => {
        const expected = one.run(nativeKernels('x86-64'), Float32Array)
        const actual = one.run(nativeKernels(WASM_ISA), Float32Array)
        expect(actual.length).toBeGreaterThan(0)
        expect(actual.map(bits)).toEqual(expected.map(bits))
      })

      it.each(weightTypes.map(type => [type] as const))('rows of %s times positions', type => {
        const [rows, columns, batch] = [37, 512, 3]
        const w = allocateWeights(type, rows, columns)
        for (let row = 0; row < rows; row++) storeRow(w, row, numbers(columns, row))
        const x = numbers(batch * columns, 99)
        const of = (isa: string) => {
          const y = new Float32Array(batch * rows)
          nativeDecodeKernels(isa).matvec(w, x, y, rows, columns, batch, false)
          return y
        }
        expect(of(WASM_ISA).some(value => value !== 0)).toBe(true)
        expect(bits(of(WASM_ISA))).toBe(bits(of('x86-64')))
      })
    },
  )

  it('reads weights and caches in its own memory where they are, and copies others', () => {
    const { memory } = wasmKernels()
    const [rows, columns] = [3, 40]
    const outside = numbers(rows * columns, 1)
    const allocated = memory.allocate(4 * outside.length)
    const inside = new Float32Array(allocated.buffer, allocated.byteOffset, outside.length)
    inside.set(outside)
    expect([memory.holds(inside), memory.holds(outside)]).toEqual([true, false])
    const x = numbers(columns, 2)
    const products = [inside, outside].map(w => {
      const y = new Float32Array(rows)
      nativeDecodeKernels(WASM_ISA).matvec(w, x, y, rows, columns, 1, false)
      return [...y]
    })
    expect(products[0]).toEqual(products[1])
    // Written in place: the kernel was given the memory itself.
    nativeFunctions(WASM_ISA).add(inside, inside, inside, inside.length)
    expect(inside[5]).toBe(2 * outside[5])
    memory.release(allocated)
  })

  it('keeps views valid while its memory grows', () => {
    const { memory } = wasmKernels()
    const early = memory.allocate(1024)
    early.fill(7)
    const large = memory.allocate(64 * 2 ** 20)
    expect([early[0], early[1023], large[0], large.at(-1)]).toEqual([7, 7, 0, 0])
    const later = memory.allocate(64)
    expect(memory.holds(early) && memory.holds(later)).toBe(true)
    for (const each of [early, large, later]) memory.release(each)
  })

  it('copies no more of a buffer than a call needs, and leaves the rest as it is', () => {
    const y = new Float32Array(1000).fill(-1)
    const x = numbers(1000, 3)
    nativeFunctions(WASM_ISA).add(x, x, y, 10)
    expect(y[9]).toBe(2 * x[9])
    expect(y[10]).toBe(-1)
  })

  it('refuses what the addon refuses, with the same words', () => {
    const { gemm, embedding } = nativeFunctions(WASM_ISA) as unknown as Record<
      string,
      (...a: unknown[]) => void
    >
    const a = new Float32Array(4)
    expect(() => gemm(a, a, a, 2, 2, 3, false, false, false)).toThrow(
      'native gemm: argument 0 (a) has 4 elements, needs 6',
    )
    expect(() => gemm(a, a, new Float64Array(4), 2, 2, 2, false, false, false)).toThrow(
      /must be a Float32Array/,
    )
    expect(() => gemm(a, a, a, 2.5, 2, 2, false, false, false)).toThrow(/integer in \[0, 2\^31\)/)
    expect(() => gemm(a, a, a, 2, 2, 2, 0, false, false)).toThrow(/must be a boolean/)
    expect(() => gemm(a, a, a, 2, 2)).toThrow(RangeError)
    const tokens = Int32Array.of(0, 9)
    expect(() => embedding(tokens, a, a, 2, 2, 2)).toThrow(/outside the vocabulary/)
  })

  it('says so when its memory is used up', () => {
    expect(() => wasmKernels().memory.allocate(2 ** 33)).toThrow(
      expect.objectContaining({ code: 'WASM_MEMORY' }),
    )
  })

  it('allocates weights and caches in its memory once it is used', () => {
    allocateInWasm()
    const { memory } = wasmKernels()
    const w = allocateWeights('q8_0', 2, 32)
    expect('data' in w && memory.holds(w.data)).toBe(true)
    expect('data' in w && w.data.length).toBe(2 * weightBytes('q8_0', 32))
    expect(memory.holds(collectedBytes(100))).toBe(true)
  })
})
