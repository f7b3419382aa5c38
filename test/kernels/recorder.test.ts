// Recorded kernel calls: the bits of the calls themselves at other positions, and nothing is touched once an array is gone.

import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { type Activation, parseActivation } from '../../src/activations/index.js'
import {
  availableKernels,
  type CallRecorder,
  callRecorderOf,
  decodeKernelsOf,
  type Kernels,
} from '../../src/kernels/index.js'
import { loadAddon } from '../../src/kernels/native/find-addon.js'
import { Inputs } from './decode-inputs.js'
import { someDraw } from './random-inputs.js'

const native = availableKernels().filter(({ backend }) => backend === 'native')

const recorderOf = (kernels: Kernels): CallRecorder => {
  const recorder = callRecorderOf(kernels)
  if (recorder === null) throw new Error('no recorder')
  return recorder
}

it('backends without native code have no recorder', () => {
  const others = availableKernels().filter(({ backend }) => backend !== 'native')
  expect(others.length).toBeGreaterThan(0)
  for (const other of others) expect(callRecorderOf(other)).toBeNull()
})

describe.skipIf(native.length === 0).each(native.map(kernels => [kernels.isa, kernels] as const))(
  '%s',
  (_, kernels) => {
    const inputs = new Inputs(3)
    const list = (...sections: (number | null)[]) => Int32Array.from(sections, section => section ?? -1)

    it('a section is made again with what its arrays hold then', () => {
      const recorder = recorderOf(kernels)
      const [x, weight, out, rstd] = [
        inputs.floats(40),
        inputs.floats(40),
        new Float32Array(40),
        new Float32Array(1),
      ]
      const section = recorder.record(() => kernels.rmsNorm(x, weight, out, rstd, 1, 40, 1e-5))
      x.set(inputs.floats(40))
      const expected = new Float32Array(40)
      kernels.rmsNorm(x, weight, expected, rstd, 1, 40, 1e-5)
      expect(out).not.toEqual(expected)
      recorder.replay(list(section), 1, 0)
      expect(out).toEqual(expected)
    })

    it.each(['stocha:p=0.4', 'rrelu'])('draws of %s are those of the position', spec => {
      const recorder = recorderOf(kernels)
      const activation = parseActivation(spec)
      const x = inputs.floats(300)
      const of = (out: Float32Array, firstRow: number) =>
        kernels.activation(activation, x, out, 1, 300, { ...someDraw, firstRow })
      const [out, expected, other] = [0, 1, 2].map(() => new Float32Array(300))
      const section = recorder.record(() => of(out, 7))
      of(expected, 2 ** 31 - 1)
      of(other, 7)
      expect(expected).not.toEqual(other)
      recorder.replay(list(section), 1, 2 ** 31 - 1)
      expect(out).toEqual(expected)
    })

    it('attention of the next positions, up to what cache and rotations hold', () => {
      const decode = decodeKernelsOf(kernels)
      const heads = { heads: 4, kvHeads: 2, headDim: 8 }
      const [cos, sin] = [inputs.floats(5 * 4), inputs.floats(5 * 4)]
      const qkv = Array.from({ length: 5 }, () => inputs.floats(8 * 8))
      const row = new Float32Array(8 * 8)
      const out = new Float32Array(4 * 8)
      const segments = () => [
        { keys: new Uint8Array(2 * 6 * 32), values: new Uint8Array(2 * 6 * 32), capacity: 6, start: 0 },
      ]
      const attend = (own: ReturnType<typeof segments>, position: number) => {
        row.set(qkv[position])
        decode.attention(row, cos, sin, 'f32', [{ count: 1, position, segments: own }], out, heads)
      }
      const one = segments()
      const expected = qkv.map((_, position) => {
        attend(one, position)
        return out.slice()
      })
      const recorder = recorderOf(kernels)
      const own = segments()
      const section = recorder.record(() => attend(own, 0))
      for (let position = 1; position < 5; position++) {
        row.set(qkv[position])
        recorder.replay(list(section), 1, position)
        expect(out).toEqual(expected[position])
      }
      expect(() => recorder.replay(list(section), 1, 5)).toThrow(/no room for this position/)
    })

    it('sections in any order, with the results of those that return a number', () => {
      const recorder = recorderOf(kernels)
      const decode = decodeKernelsOf(kernels)
      const [w, x, y, counts] = [
        inputs.floats(6 * 4),
        inputs.floats(4),
        new Float32Array(4),
        new Int32Array(1),
      ]
      const shape = { neurons: 6, width: 4, batch: 1, gated: false, maxActive: 6 }
      const sections = [Float32Array.of(0, 1, 0, 0, 0, 0), Float32Array.of(1, 1, 1, 0, 0, 2)].map(activated =>
        recorder.record(() => decode.ffnNeurons(w, activated, x, y, counts, shape)),
      )
      const results = recorder.replay(list(sections[1], sections[0], sections[1]), 3, 0)
      expect([...results.subarray(0, 3)]).toEqual([4, 1, 4])
      expect(recorder.replay(list(sections[0]), 1, 0)[0]).toBe(1)
    })

    it('what native code cannot repeat is run, and not kept', () => {
      const recorder = recorderOf(kernels)
      const x = inputs.floats(4)
      let sum = 0
      const summed = recorder.record(() => {
        sum = kernels.sum(x, 4)
      })
      expect(summed).toBeNull()
      expect(sum).toBeCloseTo(
        x.reduce((all, one) => all + one, 0),
        5,
      )
      const { fused: _, programs: __, ...mine } = parseActivation('relu')
      const out = new Float32Array(4)
      expect(recorder.record(() => kernels.activation(mine as Activation, x, out, 1, 4, someDraw))).toBeNull()
      expect(out).toEqual(x.map(value => Math.max(0, value)))
      const rowOf = Int32Array.of(0, -1)
      const shape = { neurons: 2, width: 4, batch: 1, gated: false, maxActive: 2, rowOf }
      const ffn = () =>
        decodeKernelsOf(kernels).ffnNeurons(x, Float32Array.of(1, 0), x, out, new Int32Array(1), shape)
      expect(recorder.record(ffn)).toBeNull()
    })

    it('an error ends the section, and the next one can be recorded', () => {
      const recorder = recorderOf(kernels)
      const x = inputs.floats(4)
      const failing = () =>
        recorder.record(() => {
          kernels.multiply(x, x, new Float32Array(4), 4)
          kernels.multiply(x, x, new Float32Array(2), 4)
        })
      expect(failing).toThrow(/native multiply: argument 2/)
      const out = new Float32Array(4)
      const section = recorder.record(() => kernels.multiply(x, x, out, 4))
      expect(section).not.toBeNull()
      out.fill(0)
      recorder.replay(list(section), 1, 0)
      expect(out).toEqual(x.map(value => Math.fround(value * value)))
    })

    it('sections that were not kept may lose their arrays', () => {
      v8.setFlagsFromString('--expose-gc')
      const collect = runInNewContext('gc') as () => void
      const recorder = recorderOf(kernels)
      const { fused: _, programs: __, ...mine } = parseActivation('relu')
      const fresh = () => new Float32Array(2 ** 16)
      const failures = [
        () => kernels.sum(fresh(), 4),
        () => kernels.activation(mine as Activation, fresh(), fresh(), 1, 4, someDraw),
        () => kernels.multiply(fresh(), fresh(), new Float32Array(2), 4),
        () => {
          throw new Error('of another kind')
        },
      ]
      for (const failure of failures) {
        const record = () =>
          recorder.record(() => {
            const x = fresh()
            kernels.multiply(x, x, x, 4)
            failure()
          })
        try {
          expect(record()).toBeNull()
        } catch (error) {
          expect(String(error)).toMatch(/native multiply|of another kind/)
        }
      }
      const out = new Float32Array(4)
      const section = recorder.record(() => {
        const x = fresh().fill(2)
        kernels.multiply(x, x, out, 4)
      })
      out.fill(0)
      for (let i = 0; i < 3; i++) collect()
      recorder.replay(list(section), 1, 0)
      expect(out).toEqual(Float32Array.of(4, 4, 4, 4))
    })

    it('an array that was detached or resized, or a section that is not there, is refused', () => {
      const recorder = recorderOf(kernels)
      const resizable = (bytes: number) =>
        new (
          ArrayBuffer as unknown as new (
            bytes: number,
            options: object,
          ) => ArrayBuffer & { resize(n: number): void }
        )(bytes, { maxByteLength: 1 << 16 })
      const buffers = [resizable(1 << 16), resizable(1 << 16)]
      const sections = buffers.map(buffer => {
        const own = new Float32Array(buffer, 0, 1 << 14)
        return recorderOf(kernels).record(() => kernels.multiply(own, own, own, 1 << 14)) // a recorder of its own
      })
      expect(sections).toEqual([0, 0])
      const [detached, shrunk] = buffers.map(buffer => {
        const own = new Float32Array(buffer, 0, 1 << 14)
        const mine = recorderOf(kernels)
        const section = mine.record(() => kernels.multiply(own, own, own, 1 << 14))
        return () => mine.replay(list(section), 1, 0)
      })
      structuredClone(buffers[0], { transfer: [buffers[0]] })
      buffers[1].resize(8)
      expect(detached).toThrow(/an array of a recorded call is gone/)
      expect(shrunk).toThrow(/an array of a recorded call is gone/)
      expect(() => recorder.replay(list(0), 1, 0)).toThrow(/a number without a section/)
      expect(() => recorder.replay(list(0), 2, 0)).toThrow(/a number of sections/)
    })

    it('whatever the native functions are given, they throw a RangeError', () => {
      const addon = loadAddon() as unknown as Record<string, (...args: unknown[]) => unknown>
      const recording = addon.newRecording()
      const good = [recording, Int32Array.of(), 0, 0, new Float64Array(1)]
      expect(addon.replay(...good)).toBe(0)
      const bad = [
        undefined,
        null,
        {},
        -1,
        0.5,
        2 ** 31,
        Number.NaN,
        'x',
        new Uint8Array(4),
        addon.aligned(8),
        [],
      ]
      for (let i = 0; i < good.length; i++)
        for (const value of bad) {
          if (i === 2 && (value === -1 || value === 0.5)) continue
          if (i === 3 && value === 0.5) continue
          const args = good.with(i, value)
          expect(() => addon.replay(...args), `argument ${i}: ${String(value)}`).toThrow(RangeError)
        }
      for (const value of bad) expect(() => addon.beginSection(value)).toThrow(RangeError)
      expect(addon.endSection(true)).toBe(-1)
      addon.beginSection(recording)
      expect(() => addon.beginSection(recording)).toThrow(RangeError)
      expect(() => addon.replay(...good)).toThrow(RangeError)
      expect(addon.endSection(true)).toBe(0)
    })
  },
)
