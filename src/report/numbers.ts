// How measured numbers are printed: as many digits as mean something, one way everywhere.

/** Stands where a number is missing. */
export const MISSING = '–'

const MINUS = '\u2212'
const NARROW_SPACE = '\u202F'

/** `value` with so many decimals, thousands separated, a real minus sign. Nothing is ever `-0`. */
export function fixed(value: number, decimals: number): string {
  return decimal(value, decimals, 'negative')
}

/** Like `fixed`, with `+` in front of what is above zero: for differences. */
export function signed(value: number, decimals: number): string {
  return decimal(value, decimals, 'exceptZero')
}

/** From here on digits say nothing, and the power of ten says all. */
const HUGE = 1e9

function decimal(value: number, decimals: number, signDisplay: 'negative' | 'exceptZero'): string {
  if (Number.isNaN(value)) return 'not a number'
  if (Math.abs(value) >= HUGE && decimals > 0) return scientific(value, signDisplay)
  return new Intl.NumberFormat('en-US', {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
    signDisplay,
  })
    .format(value)
    .replace('-', MINUS)
}

/** `2.76e16`, `∞`. */
function scientific(value: number, signDisplay: 'negative' | 'exceptZero'): string {
  const sign = value < 0 ? MINUS : signDisplay === 'exceptZero' ? '+' : ''
  const size = Math.abs(value)
  return sign + (size === Number.POSITIVE_INFINITY ? '∞' : size.toExponential(2).replace('e+', 'e'))
}

/** Nats per token, or bits per byte. */
export function loss(value: number): string {
  return fixed(value, 3)
}

/** Four digits or so: 6.31, 84.2, 1,204; 2.76e16 where a model has diverged. */
export function perplexity(value: number): string {
  if (value >= HUGE) return fixed(value, 2)
  return fixed(value, value < 100 ? 2 : value < 1000 ? 1 : 0)
}

/** A fraction in [0, 1] as `84.2 %`. */
export function percent(share: number, decimals = 1): string {
  return `${fixed(share * 100, decimals)}${NARROW_SPACE}%`
}

/** A change as a fraction, `+1.2 %`. */
export function signedPercent(share: number): string {
  return `${signed(share * 100, 1)}${NARROW_SPACE}%`
}

/** Tokens per second: 41,200, 585, 38.4, 0.72. */
export function rate(perSecond: number): string {
  return fixed(perSecond, perSecond >= 100 ? 0 : perSecond >= 10 ? 1 : 2)
}

/** A speed-up as `1.42×`. */
export function ratio(value: number): string {
  return `${fixed(value, 2)}×`
}

/** The interval of a ratio: `1.38–1.46`. */
export function interval({ low, high }: { readonly low: number; readonly high: number }): string {
  return `${fixed(low, 2)}–${fixed(high, 2)}`
}

/** 3.3 million, 41.2 thousand, 812. */
export function amount(value: number): string {
  if (value >= 1e9) return `${fixed(value / 1e9, 1)} billion`
  if (value >= 1e6) return `${fixed(value / 1e6, 1)} million`
  return fixed(value, 0)
}

/** Bytes in decimal units. */
export function bytes(value: number): string {
  if (value >= 1e9) return `${fixed(value / 1e9, 1)} GB`
  if (value >= 1e6) return `${fixed(value / 1e6, 1)} MB`
  if (value >= 1e3) return `${fixed(value / 1e3, 0)} kB`
  return `${value} bytes`
}

/** 47 s, 3 min 20 s, 2 h 5 min. */
export function duration(seconds: number): string {
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}
