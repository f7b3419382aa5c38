// Attention over caches, of every backend: against its definition in f64 over what the cache holds, the cache against
// the rounding that it promises, and one set of bits for any number of threads, any cut of the positions, any company in
// the batch and any cut of the cache into segments.

import { afterAll, describe, expect, it } from 'vitest'
import {
  type AttentionHeads,
  type CachedSequence,
  type CacheSegment,
  type CacheType,
  cacheRowBytes,
  type DecodeKernels,
  defaultThreads,
  setThreads,
} from '../../src/kernels/index.js'
import { backends, dot, expectClose, expectSameBits, guarded, Inputs, withThreads } from './decode-inputs.js'

afterAll(() => setThreads(defaultThreads()))

const cacheTypes: CacheType[] = ['f32', 'f16', 'q8']

interface TextCase extends AttentionHeads {
  readonly length: number
  readonly seed?: number
}

/** Rows [q | k | v] of all positions of a text, and the rotation angles. */
function textInputs({ length, heads, kvHeads, headDim, seed = 0 }: TextCase) {
  const inputs = new Inputs(length + headDim + seed)
  const row = (heads + 2 * kvHeads) * headDim
  const qkv = inputs.floats(length * row)
  const { cos, sin } = inputs.angles(length, headDim / 2) as { cos: Float32Array; sin: Float32Array }
  return { row, qkv, cos, sin }
}

/** A segment with room for `capacity` positions from `start` on, full of what is not a number. */
function segment(type: CacheType, one: AttentionHeads, start: number, capacity: number): CacheSegment {
  const bytes = one.kvHeads * capacity * cacheRowBytes(type, one.headDim)
  return { keys: new Uint8Array(bytes).fill(255), values: new Uint8Array(bytes).fill(255), capacity, start }
}

/** The segments of one text whose positions are cut at `starts`; those in `shared` are used as they are. */
function segmentsOf(
  type: CacheType,
  one: TextCase,
  starts: number[],
  shared: CacheSegment[] = [],
): CacheSegment[] {
  return starts.map((start, i) => {
    return shared[i] ?? segment(type, one, start, (starts[i + 1] ?? one.length) - start + (i % 2))
  })
}

/**
 * Attention over positions `from` … length − 1 of a text, `cut` at a time, the positions before being stored; a
 * segment is filled while it is the last. Returns the rows of out from `from` on.
 */
function run(
  kernels: DecodeKernels,
  type: CacheType,
  one: TextCase,
  { cut = one.length, from = 0, segments = segmentsOf(type, one, [0]) } = {},
): Float32Array {
  const { length, heads, headDim } = one
  const { row, qkv, cos, sin } = textInputs(one)
  const width = heads * headDim
  const out = guarded((length - from) * width)
  for (let position = from; position < length; ) {
    const filled = segments.filter(({ start }) => start <= position)
    const end = Math.min(length, position + cut, segments[filled.length]?.start ?? length)
    const sequence = { count: end - position, position, segments: filled }
    kernels.attention(
      qkv.slice(position * row, end * row),
      cos,
      sin,
      type,
      [sequence],
      out.subarray((position - from) * width),
      one,
    )
    position = end
  }
  return out
}

/** Of a float16, by the definition of IEEE 754. */
function float16(bits: number): number {
  const [sign, exponent, mantissa] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15))
}

/** What a cache holds for one position of one head. */
function stored(type: CacheType, bytes: Uint8Array, row: number, headDim: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset + row * cacheRowBytes(type, headDim))
  return Array.from({ length: headDim }, (_, k) => {
    if (type === 'f32') return view.getFloat32(4 * k, true)
    if (type === 'f16') return float16(view.getUint16(2 * k, true))
    const scale = float16(view.getUint16(2 * Math.floor(k / 32), true))
    return scale * view.getInt8(2 * Math.ceil(headDim / 32) + k)
  })
}

/** A vector of `qkv` in f64, turned by its position. */
function turned({ row, qkv }: { row: number; qkv: Float32Array }, t: number, slot: number, headDim: number) {
  const x = Array.from(qkv.subarray(t * row + slot * headDim, t * row + (slot + 1) * headDim))
  const half = headDim / 2
  return x.map((value, i) => {
    const angle = t * 10000 ** -((i % half) / half)
    return value * Math.cos(angle) + (i < half ? -x[i + half] : x[i - half]) * Math.sin(angle)
  })
}

/** softmax(scores) v of every position over all that it sees, k and v as one segment holds them. */
function byDefinition(type: CacheType, one: TextCase, { keys, values, capacity }: CacheSegment): number[] {
  const { length, heads, kvHeads, headDim, scale = 1 / Math.sqrt(headDim), softcap, window = length } = one
  const inputs = textInputs(one)
  const rows = (bytes: Uint8Array, head: number) =>
    Array.from({ length }, (_, t) => stored(type, bytes, head * capacity + t, headDim))
  const out = new Array<number>(length * heads * headDim)
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor((head * kvHeads) / heads)
    const [k, v] = [rows(keys, kvHead), rows(values, kvHead)]
    for (let t = 0; t < length; t++) {
      const q = turned(inputs, t, head, headDim)
      const scores = k.slice(0, t + 1).map((key, s) => {
        const score = scale * dot(q, 0, key, 0, headDim)
        const capped = softcap === undefined ? score : softcap * Math.tanh(score / softcap)
        return t - s < window ? Math.exp(capped) : 0
      })
      const total = scores.reduce((a, b) => a + b)
      for (let c = 0; c < headDim; c++) {
        out[(t * heads + head) * headDim + c] = scores.reduce((sum, s, i) => sum + (s / total) * v[i][c], 0)
      }
    }
  }
  return out
}

const texts: TextCase[] = [
  { length: 1, heads: 1, kvHeads: 1, headDim: 2 },
  { length: 9, heads: 4, kvHeads: 2, headDim: 6 },
  { length: 40, heads: 7, kvHeads: 1, headDim: 10 },
  { length: 33, heads: 2, kvHeads: 2, headDim: 66 },
  { length: 131, heads: 3, kvHeads: 1, headDim: 34 },
  { length: 20, heads: 2, kvHeads: 1, headDim: 6, scale: 0.9, softcap: 0.8 },
  { length: 9, heads: 1, kvHeads: 1, headDim: 4, window: 1 },
  { length: 140, heads: 2, kvHeads: 1, headDim: 10, window: 7 },
  { length: 300, heads: 3, kvHeads: 1, headDim: 34, window: 128, softcap: 2 },
  { length: 300, heads: 2, kvHeads: 2, headDim: 8, window: 129, scale: 0.3 },
  { length: 12, heads: 2, kvHeads: 1, headDim: 130 },
  // Several chunks of positions.
  { length: 290, heads: 4, kvHeads: 2, headDim: 8 },
]

describe.each(backends)('attention, %s', (_, kernels) => {
  it.each(cacheTypes)('is the softmax over all positions up to each: %s', type => {
    for (const one of texts) {
      const segments = segmentsOf(type, one, [0])
      expectClose(run(kernels, type, one, { segments }), byDefinition(type, one, segments[0]))
    }
  })

  it.each(cacheTypes)('caches hold turned keys and values, rounded to their type: %s', type => {
    for (const one of texts.slice(0, 6)) {
      const { length, heads, kvHeads, headDim } = one
      const inputs = textInputs(one)
      const segments = segmentsOf(type, one, [0])
      run(kernels, type, one, { segments })
      const [{ keys, values, capacity }] = segments
      // By how much more than the type allows a number is off, at most.
      let worst = Number.NEGATIVE_INFINITY
      const hold = (bytes: Uint8Array, row: number, exact: number[]) => {
        for (const [k, held] of stored(type, bytes, row, headDim).entries()) {
          const group = exact.slice(k - (k % 32), k - (k % 32) + 32).map(Math.abs)
          // Half a step of the type, and the rounding of the scale and of the turn.
          const half = { f32: 0, f16: Math.abs(exact[k]) * 2 ** -11, q8: Math.max(...group) / 254 }[type]
          worst = Math.max(worst, Math.abs(held - exact[k]) - half * 1.13 - 2e-6)
        }
      }
      for (let t = 0; t < length; t++) {
        for (let head = 0; head < kvHeads; head++) {
          const at = t * inputs.row + (heads + kvHeads + head) * headDim
          hold(keys, head * capacity + t, turned(inputs, t, heads + head, headDim))
          hold(values, head * capacity + t, Array.from(inputs.qkv.subarray(at, at + headDim)))
        }
      }
      expect(worst).toBeLessThanOrEqual(0)
    }
  })

  it.each(cacheTypes)('gives the same bits for any number of threads and any cut into pieces: %s', type => {
    for (const one of [...texts, { length: 150, heads: 6, kvHeads: 3, headDim: 32 }]) {
      const apart = run(kernels, type, one, { cut: 1 })
      const cuts = withThreads(() => [5, 64, one.length].map(cut => run(kernels, type, one, { cut }))).flat()
      for (const out of cuts) expectSameBits(out, apart)
    }
  })

  it.each(cacheTypes)('gives the same bits however a text is kept in segments: %s', type => {
    for (const one of [texts[1], texts[6]]) {
      const { length } = one
      const whole = run(kernels, type, one)
      const cuts = [
        [0, 1],
        [0, length - 1],
        [0, 3, 3, 7],
        [0, 128],
        [0, 100, 200, 256, 257],
      ].filter(starts => starts.every(start => start < length))
      for (const starts of cuts) {
        const segments = segmentsOf(type, one, starts)
        expectSameBits(run(kernels, type, one, { segments }), whole)
        expectSameBits(run(kernels, type, one, { segments: segmentsOf(type, one, starts), cut: 1 }), whole)
      }
    }
  })

  it.each(cacheTypes)('a position alone after many has the bits that it has among them: %s', type => {
    for (const more of [{ headDim: 24 }, { headDim: 34, window: 600 }]) {
      const one = { length: 1100, heads: 2, kvHeads: 2, ...more }
      for (const starts of [[0], [0, 100, 700]]) {
        const segments = segmentsOf(type, one, starts)
        const whole = run(kernels, type, one, { segments })
        const last = whole.subarray((one.length - 1) * 2 * one.headDim)
        const alone = withThreads(() => run(kernels, type, one, { segments, from: one.length - 1 }))
        for (const out of alone) expectSameBits(out, last)
      }
    }
  })

  it.each(cacheTypes)('texts decoded together from one prompt have the bits of each alone: %s', type => {
    for (const { prompt, heads, kvHeads, headDim } of [
      { prompt: 5, heads: 2, kvHeads: 2, headDim: 6 },
      { prompt: 140, heads: 6, kvHeads: 2, headDim: 34 },
    ]) {
      const shape = { heads, kvHeads, headDim }
      // Texts of different lengths, one longer than another's next chunk, and one that shares nothing.
      const lengths = [prompt + 1, prompt + 130, prompt + 7, prompt + 2, 3]
      const width = heads * headDim
      const row = width + 2 * kvHeads * headDim
      const promptCase = { ...shape, length: prompt, seed: 99 }
      const { qkv: promptRows, cos, sin } = textInputs({ ...promptCase, length: prompt + 130 })
      const shared = segmentsOf(type, promptCase, [0])[0]
      const store = (sequences: CachedSequence[], rows: Float32Array) => {
        const out = guarded(sequences.reduce((sum, { count }) => sum + count, 0) * width)
        kernels.attention(rows.slice(), cos, sin, type, sequences, out, shape)
        return out
      }
      store([{ count: prompt, position: 0, segments: [shared] }], promptRows.slice(0, prompt * row))

      const all = lengths.map((length, i) => {
        const start = length > prompt ? prompt : 0
        const own = segment(type, shape, start, length - start + 1)
        const segments = start > 0 ? [shared, own] : [own]
        const rows = new Inputs(1000 + i).floats((length - start) * row)
        // All but the last position, or the last three, are stored already.
        const count = Math.min(length - start, i === 2 ? 3 : 1)
        const before = length - start - count
        if (before > 0) store([{ count: before, position: start, segments }], rows.slice(0, before * row))
        return { sequence: { count, position: length - count, segments }, rows: rows.slice(before * row) }
      })
      const apart = all.map(({ sequence, rows }) => store([sequence], rows).slice(0, -2))
      const rows = Float32Array.from(all.flatMap(one => [...one.rows]))
      const expected = Float32Array.from(apart.flatMap(out => [...out]))
      for (const together of withThreads(() =>
        store(
          all.map(({ sequence }) => sequence),
          rows,
        ),
      )) {
        expectSameBits(together.slice(0, -2), expected)
      }
    }
  })

  it('turns queries and keys in place and leaves values', () => {
    const one = texts[1]
    const { heads, kvHeads, headDim, length } = one
    const inputs = textInputs(one)
    const rows = inputs.qkv.slice()
    const sequence = { count: length, position: 0, segments: segmentsOf('f32', one, [0]) }
    const out = new Float32Array(length * heads * headDim)
    kernels.attention(rows, inputs.cos, inputs.sin, 'f32', [sequence], out, one)
    for (let t = 0; t < length; t++) {
      for (let slot = 0; slot < heads + 2 * kvHeads; slot++) {
        const at = t * inputs.row + slot * headDim
        const before = inputs.qkv.subarray(at, at + headDim)
        const expected = slot < heads + kvHeads ? turned(inputs, t, slot, headDim) : [...before]
        for (let k = 0; k < headDim; k++) expect(rows[at + k]).toBeCloseTo(expected[k], 5)
      }
    }
  })

  it('an empty batch and a sequence without new positions are nothing to do', () => {
    const one = texts[1]
    const { cos, sin, qkv } = textInputs(one)
    const segments = segmentsOf('f32', one, [0])
    kernels.attention(qkv, cos, sin, 'f32', [], guarded(0), one)
    const whole = run(kernels, 'f32', one, { segments })
    const out = guarded(one.length * one.heads * one.headDim)
    const sequences = [
      { count: 0, position: 3, segments },
      { count: one.length, position: 0, segments },
    ]
    kernels.attention(qkv, cos, sin, 'f32', sequences, out, one)
    expectSameBits(out, whole)
  })
})

describe.each(backends.filter(([, kernels]) => kernels.backend === 'native'))(
  'the arguments of attention, %s',
  (_, kernels) => {
    it('refuses segments that do not hold the positions, and buffers that are too short', () => {
      const shape = { heads: 2, kvHeads: 1, headDim: 2 }
      const one = (start: number, capacity: number) => segment('f32', shape, start, capacity)
      const call = (sequence: Partial<CachedSequence>, change: object = {}, out = 8) => {
        const [qkv, angles] = [new Float32Array(16), new Float32Array(5)]
        const whole = { count: 1, position: 4, segments: [one(0, 5)], ...sequence }
        return () =>
          kernels.attention(qkv, angles, angles, 'f32', [whole], new Float32Array(out), {
            ...shape,
            ...change,
          })
      }
      expect(call({})).not.toThrow()
      expect(call({ segments: [one(0, 3), one(3, 2)] })).not.toThrow()
      for (const segments of [
        [one(0, 4)],
        [one(1, 5)],
        [],
        [one(0, 2), one(3, 2)],
        [one(0, 3), one(3, 1)],
        [one(0, 5), one(5, 5)],
        [one(0, 3), one(2, 5), one(1, 5)],
        [{ ...one(0, 5), keys: new Uint8Array(39) }],
        [{ ...one(0, 5), values: new Uint8Array(0) }],
      ]) {
        expect(call({ segments })).toThrow(RangeError)
      }
      expect(call({ count: 2 })).toThrow(RangeError)
      expect(call({ position: 5, segments: [one(0, 9)] })).toThrow(RangeError)
      expect(call({ position: -1 })).toThrow(RangeError)
      expect(call({ count: -1 })).toThrow(RangeError)
      expect(call({}, { kvHeads: 0 })).toThrow(RangeError)
      expect(call({}, { headDim: 3 })).toThrow(RangeError)
      expect(call({}, {}, 3)).toThrow(RangeError)
    })
  },
)
