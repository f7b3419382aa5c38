// TensorBoard's event files: records (TFRecord) of length, data and checksums (CRC-32C), whose data are Event messages in protocol
// buffers. Written field by field: an event with a scalar has five fields.

/** CRC-32C (Castagnoli), reflected: polynomial 0x82f63b78. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8)
  return ~value >>> 0
}

/** What TFRecord stores of a checksum. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** Length (u64), its checksum, the data, their checksum; little-endian. */
function record(data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(data.length + 16)
  bytes.writeBigUInt64LE(BigInt(data.length), 0)
  bytes.writeUInt32LE(masked(bytes.subarray(0, 8)), 8)
  bytes.set(data, 12)
  bytes.writeUInt32LE(masked(data), 12 + data.length)
  return bytes
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let left = value
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80)
  return [...bytes, left]
}

/** A field of length and bytes. */
function field(number: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.from([(number << 3) | 2, ...varint(bytes.length)]), bytes])
}

/** Event.wall_time, field 1: seconds since 1970. */
function wallTime(seconds: number): Buffer {
  const bytes = Buffer.alloc(9)
  bytes[0] = (1 << 3) | 1
  bytes.writeDoubleLE(seconds, 1)
  return bytes
}

/** The record that begins an event file. */
export function versionRecord(seconds: number): Buffer {
  return record(Buffer.concat([wallTime(seconds), field(3, Buffer.from('brain.Event:2'))]))
}

/** A record with scalars of one step: Event.step is field 2, Event.summary 5, Summary.value 1, its tag 1 and simple_value 2. */
export function scalarRecord(
  step: number,
  seconds: number,
  scalars: Readonly<Record<string, number>>,
): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) => {
    const simple = Buffer.alloc(5)
    simple[0] = (2 << 3) | 5
    simple.writeFloatLE(value, 1)
    return field(1, Buffer.concat([field(1, Buffer.from(tag)), simple]))
  })
  const stepField = Uint8Array.from([2 << 3, ...varint(step)])
  return record(Buffer.concat([wallTime(seconds), stepField, field(5, Buffer.concat(values))]))
}
