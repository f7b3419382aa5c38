// How different several texts of one prompt are, by their words and tokens. Definitions with their sources:
// docs/diversity.md.

/**
 * Words of a text: runs of letters, digits and apostrophes, each other visible character alone; upper and lower case are the
 * same.
 */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]/gu) ?? []
}

/** Runs of `n` units, each as one string. */
export function ngramsOf(units: readonly (string | number)[], n: number): string[] {
  const count = Math.max(0, units.length - n + 1)
  return Array.from({ length: count }, (_, i) => units.slice(i, i + n).join('\u0000'))
}

/**
 * Different n-grams over all n-grams of the texts together (Li et al. 2016, distinct-n), in (0, 1]; 0 where no text has one.
 * Falls with length: only texts of about the same length compare.
 */
export function distinct(texts: readonly (readonly (string | number)[])[], n: number): number {
  const all = texts.flatMap(text => ngramsOf(text, n))
  return all.length === 0 ? 0 : new Set(all).size / all.length
}

/**
 * Expectation-adjusted distinct (Liu et al. 2022): different tokens over those expected of as many draws from all V tokens,
 * V·(1 − ((V − 1)/V)^C). tokens: of each text; 0 where there are none.
 */
export function expectationAdjustedDistinct(
  texts: readonly (readonly number[])[],
  vocabularySize: number,
): number {
  const all = texts.flat()
  if (all.length === 0) return 0
  // −expm1(C·log1p(−1/V)) is 1 − ((V − 1)/V)^C without cancellation.
  const expected = -vocabularySize * Math.expm1(all.length * Math.log1p(-1 / vocabularySize))
  return new Set(all).size / expected
}

/** Different words over words, mean of the texts that have any; 0 where none has. */
export function typeTokenRatio(texts: readonly (readonly string[])[]): number {
  const ratios = texts.flatMap(words => (words.length === 0 ? [] : [new Set(words).size / words.length]))
  return ratios.length === 0 ? 0 : ratios.reduce((a, b) => a + b) / ratios.length
}

/** Entropy in nats of how often each value occurs: 0 where all are one, log n where n are all different. */
export function entropyOf(values: readonly (string | number)[]): number {
  const counts = new Map<string | number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  let entropy = 0
  for (const count of counts.values()) {
    const share = count / values.length
    entropy -= share * Math.log(share)
  }
  // Not −0.
  return entropy + 0
}
