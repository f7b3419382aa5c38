// The natural logarithm of many numbers in (0, 1), within 0.52 units in the last place: nearly always the correctly
// rounded one, as C libraries give it. The engine's own rounds otherwise in some 3 of 100 cases, and costs a call each.

const TABLE_SIZE = 256
/** Near 1 the sum below would cancel; the engine's logarithm takes over. */
const NEAR_ONE = 0.93
/** Bits of fraction of the fixed-point numbers that the table is computed with. */
const FRACTION_BITS = 128n
/** The upper parts of logarithms are multiples of 2⁻⁴², so that their sums and small multiples are exact. */
const UPPER_BITS = 42n

interface Table {
  /** 1/c for the center c of each of 256 intervals of [1, 2). */
  inverse: Float64Array
  /** log c, or log c/2 in the upper half, in two parts. */
  upper: Float64Array
  lower: Float64Array
  /** 2⁰ … 2¹⁰²². */
  powers: Float64Array
  /** log 2 in two parts. */
  ln2Upper: number
  ln2Lower: number
}

let table: Table | null = null

/** One double, and the same as two words. */
const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1
const UPPER_HALF = LITTLE_ENDIAN ? 1 : 0

/**
 * out[0 … count − 1] = the logarithms of values[0 … count − 1], all in (0, 1) and not subnormal. With value = 2^k · z, c the
 * center of z's interval and r = z/c − 1 it is k · log 2 + log c + log(1 + r), the last by its series.
 */
export function logarithms(values: Float64Array, out: Float64Array, count: number): void {
  table ??= makeTable()
  const { inverse, upper, lower, powers, ln2Upper, ln2Lower } = table
  for (let i = 0; i < count; i++) {
    const value = values[i]
    if (value > NEAR_ONE) {
      out[i] = Math.log(value)
      continue
    }
    double[0] = value
    const half = halves[UPPER_HALF]
    const power = (half >> 20) - 1023
    const interval = (half >> 12) & (TABLE_SIZE - 1)
    // The upper half of [1, 2) is taken as [3/4, 1) of the next power, so that nothing cancels.
    const k = power + (interval >> 7)
    const center = 1 + (interval + 0.5) / TABLE_SIZE
    const r = (value * powers[-power] - center) * inverse[interval]
    const exact = k * ln2Upper + upper[interval]
    const sum = exact + r
    const rest = exact - sum + r + (k * ln2Lower + lower[interval])
    const series = r * r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5 - r * (1 / 6)))))
    out[i] = sum + (rest + series)
  }
}

function makeTable(): Table {
  const one = 1n << FRACTION_BITS
  const ln2 = logarithm(2n * one, one)
  const [ln2Upper, ln2Lower] = inTwoParts(ln2)
  const made: Table = {
    inverse: new Float64Array(TABLE_SIZE),
    upper: new Float64Array(TABLE_SIZE),
    lower: new Float64Array(TABLE_SIZE),
    powers: Float64Array.from({ length: 1023 }, (_, i) => 2 ** i),
    ln2Upper,
    ln2Lower,
  }
  for (let i = 0; i < TABLE_SIZE; i++) {
    const center = one + (BigInt(2 * i + 1) * one) / BigInt(2 * TABLE_SIZE)
    const log = logarithm(center, one) - (i < TABLE_SIZE / 2 ? 0n : ln2)
    made.inverse[i] = 1 / (1 + (i + 0.5) / TABLE_SIZE)
    const [upper, lower] = inTwoParts(log)
    made.upper[i] = upper
    made.lower[i] = lower
  }
  return made
}

/** log x in fixed point, by 2 · artanh((x − 1)/(x + 1)). */
function logarithm(x: bigint, one: bigint): bigint {
  const t = ((x - one) * one) / (x + one)
  const square = (t * t) / one
  let sum = 0n
  let power = t
  for (let n = 1n; power !== 0n; n += 2n) {
    sum += power / n
    power = (power * square) / one
  }
  return 2n * sum
}

function inTwoParts(fixed: bigint): [number, number] {
  const unit = 1n << (FRACTION_BITS - UPPER_BITS)
  const upper = fixed / unit
  const rest = fixed - upper * unit
  return [Number(upper) / 2 ** Number(UPPER_BITS), Number(rest) / 2 ** Number(FRACTION_BITS)]
}
