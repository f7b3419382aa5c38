// "Did you mean …?" for names that users type: activations, recipe keys, commands, shapes.

import { distance } from 'fastest-levenshtein'

/** ` Did you mean "silu"?` when one of `known` is within a third of its length of `given`, else ``. */
export function didYouMean(given: string, known: readonly string[]): string {
  const scored = known.map(name => ({ name, d: distance(given.toLowerCase(), name.toLowerCase()) }))
  scored.sort((a, b) => a.d - b.d)
  const best = scored[0]
  if (best === undefined || best.d > Math.max(1, Math.ceil(best.name.length / 3))) return ''
  return ` Did you mean "${best.name}"?`
}
