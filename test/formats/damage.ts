// Ways to damage files: bytes anywhere, and, with the structure kept valid, single values of JSON and of protocol buffers.

import fc from 'fast-check'

/** Bits flipped, bytes cut out and put in: anywhere in the first `reach` bytes. */
export function edits(reach: number): fc.Arbitrary<(bytes: Buffer) => Buffer> {
  const flip = fc.nat(8 * reach - 1).map(bit => (bytes: Buffer) => {
    const copy = Buffer.from(bytes)
    if (bit >> 3 < copy.length) copy[bit >> 3] ^= 1 << (bit & 7)
    return copy
  })
  const splice = fc
    .record({ at: fc.nat(reach), remove: fc.nat(9), insert: fc.uint8Array({ maxLength: 9 }) })
    .map(
      ({ at, remove, insert }) =>
        (bytes: Buffer) =>
          Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]),
    )
  const overwrite = fc
    .record({
      at: fc.nat(reach),
      with: fc.constantFrom(0, 0xff, 0x7f, 0x80),
      length: fc.integer({ min: 1, max: 8 }),
    })
    .map(({ at, with: value, length }) => (bytes: Buffer) => {
      const copy = Buffer.from(bytes)
      copy.subarray(at, at + length).fill(value)
      return copy
    })
  return fc
    .array(fc.oneof(flip, splice, overwrite), { minLength: 1, maxLength: 4 })
    .map(all => (bytes: Buffer) => all.reduce((damaged, edit) => edit(damaged), bytes))
}

/** Values at the limits of what a field may hold, and of other types. */
const EXTREMES: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(0, -1, 1, 2, 0.5, -0.5, 1e-300, 1e308, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53),
  fc.constantFrom<unknown>(7, 64, 4096, 65_536, 1_000_000, 20_000_000),
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    '',
    'x',
    '\u0000',
    'a'.repeat(5000),
    [],
    {},
    [[]],
    [null],
    [-1],
  ),
  fc.constantFrom<unknown>('silu', 'relu', 'linear', 'full_attention', '__proto__', 'constructor', '(a+)+$'),
  fc.jsonValue({ maxDepth: 2 }),
)

/** `value` with one to three of its fields, at any depth, replaced by extreme values, removed, or put in twice. */
export function jsonDamage(value: unknown): fc.Arbitrary<unknown> {
  const change = fc.record({
    steps: fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
    how: fc.constantFrom('replace', 'replace', 'replace', 'remove', 'repeat'),
    extreme: EXTREMES,
  })
  return fc.array(change, { minLength: 1, maxLength: 3 }).map(changes => {
    const copy: unknown = structuredClone(value)
    for (const { steps, how, extreme } of changes) {
      // Down to a field: each step chooses one of the container's, until the steps or the containers end.
      let container = copy
      let key: string | undefined
      for (const step of steps) {
        const inner: unknown = key === undefined ? container : Reflect.get(Object(container), key)
        const keys = typeof inner === 'object' && inner !== null ? Object.keys(inner) : []
        if (keys.length === 0) break
        container = inner
        key = keys[step % keys.length]
      }
      if (key === undefined) continue
      if (Array.isArray(container)) {
        if (how === 'replace') container[Number(key)] = extreme
        else if (how === 'remove') container.splice(Number(key), 1)
        else container.push(container[Number(key)])
      } else if (how === 'remove') Reflect.deleteProperty(Object(container), key)
      else Reflect.set(Object(container), how === 'repeat' ? `${key}2` : key, extreme)
    }
    return copy
  })
}

/** A field of a protocol buffer as it stands on the wire. */
interface WireField {
  readonly number: number
  readonly type: number
  readonly payload: Buffer
}

function varint(value: number | bigint): Buffer {
  const bytes: number[] = []
  let left = BigInt.asUintN(64, BigInt(value))
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128)
  bytes.push(Number(left))
  return Buffer.from(bytes)
}

/** The fields of a message; throws RangeError where it is none. */
function wireFields(message: Buffer): WireField[] {
  let at = 0
  const next = () => {
    let [value, shift] = [0n, 0n]
    for (;;) {
      if (at >= message.length) throw new RangeError('the message ends within a field')
      const byte = message[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return Number(value)
      shift += 7n
    }
  }
  const fields: WireField[] = []
  while (at < message.length) {
    const tag = next()
    const type = tag & 7
    const start = at
    if (type === 0) next()
    else if (type === 2) {
      const length = next()
      fields.push({ number: tag >> 3, type, payload: message.subarray(at, at + length) })
      at += length
      continue
    } else at += type === 5 ? 4 : 8
    fields.push({ number: tag >> 3, type, payload: message.subarray(start, at) })
  }
  return fields
}

/** The fields of a message within a message; none where it is a text. */
function partsOf(payload: Buffer): WireField[] {
  try {
    return wireFields(payload)
  } catch (error) {
    if (error instanceof RangeError) return []
    throw error
  }
}

function wireMessage(fields: readonly WireField[]): Buffer {
  return Buffer.concat(
    fields.flatMap(({ number, type, payload }) => [
      varint((number << 3) | type),
      ...(type === 2 ? [varint(payload.length)] : []),
      payload,
    ]),
  )
}

const VARINTS = [0, 1, 2, 3, 6, 7, 255, 2 ** 31 - 1, 2 ** 31, 2 ** 32, -1, -(2 ** 31)].map(varint)
const FLOATS = [0, -0, 1, -1e30, 3e38, 1e-45, NaN, Infinity, -Infinity].map(value => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
})
const TEXTS = ['', '\u0000', '▁', ' ', '<0x41>', '<0x', '<s>', 'a'.repeat(300)].map(text => Buffer.from(text))

/**
 * A message of protocol buffers with one to four values, up to two levels deep, at the limits of their type; lengths and tags
 * stay right. Some fields are left out, or stand twice.
 */
export function wireDamage(message: Buffer): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.nat(),
    inner: fc.nat(),
    choice: fc.nat(),
    bytes: fc.uint8Array({ maxLength: 12 }),
    how: fc.constantFrom('value', 'value', 'value', 'remove', 'repeat', 'inside', 'inside', 'inside'),
  })
  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never
  const changed = (fields: WireField[], { at, inner, choice, bytes, how }: Change): WireField[] => {
    if (fields.length === 0) return fields
    const index = at % fields.length
    const field = fields[index]
    if (how === 'remove') return fields.filter((_, i) => i !== index)
    if (how === 'repeat') return [...fields, field]
    const parts = how === 'inside' && field.type === 2 ? partsOf(field.payload) : []
    if (parts.length > 0) {
      const other = changed(parts, { at: inner, inner: 0, choice, bytes, how: 'value' })
      return fields.map((old, i) => (i === index ? { ...old, payload: wireMessage(other) } : old))
    }
    const values = field.type === 0 ? VARINTS : field.type === 5 ? FLOATS : [...TEXTS, Buffer.from(bytes)]
    const payload = field.type === 1 ? Buffer.alloc(8, bytes[0] ?? 0) : values[choice % values.length]
    return fields.map((old, i) => (i === index ? { ...old, payload } : old))
  }
  return fc
    .array(change, { minLength: 1, maxLength: 4 })
    .map(changes => wireMessage(changes.reduce(changed, wireFields(message))))
}
