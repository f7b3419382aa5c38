// Self-BLEU (Zhu et al. 2018, Texygen): how much each of several texts repeats the others. BLEU-4 is Papineni et al. 2002
// with the smoothing of Lin and Och 2004: from bigrams on, one is added to the matches and to the n-grams.

import { ngramsOf } from './lexical-diversity.js'

const ORDER = 4

/** Mean BLEU-4 of each text against all others, in [0, 1]; lower is more diverse. 0 for fewer than two texts. */
export function selfBleu(texts: readonly (readonly string[])[]): number {
  if (texts.length < 2) return 0
  const counts = texts.map(words => Array.from({ length: ORDER }, (_, i) => countsOf(ngramsOf(words, i + 1))))
  let total = 0
  for (const [i, words] of texts.entries()) {
    const others = texts.filter((_, other) => other !== i)
    const logs: number[] = []
    for (let n = 1; n <= ORDER; n++) {
      const own = counts[i][n - 1]
      const ngrams = Math.max(0, words.length - n + 1)
      let matches = 0
      for (const [ngram, count] of own) {
        let most = 0
        for (const [other, byOrder] of counts.entries()) {
          if (other !== i) most = Math.max(most, byOrder[n - 1].get(ngram) ?? 0)
        }
        matches += Math.min(count, most)
      }
      logs.push(n === 1 ? Math.log(matches / ngrams) : Math.log((matches + 1) / (ngrams + 1)))
    }
    if (words.length > 0) {
      const precision = Math.exp(logs.reduce((a, b) => a + b) / ORDER)
      total +=
        precision *
        brevityPenalty(
          words.length,
          others.map(other => other.length),
        )
    }
  }
  return total / texts.length
}

/** Against the reference of the nearest length, the shorter of two as near. */
function brevityPenalty(length: number, references: readonly number[]): number {
  const nearest = references.reduce((best, other) => {
    const [a, b] = [Math.abs(other - length), Math.abs(best - length)]
    return a < b || (a === b && other < best) ? other : best
  })
  return length >= nearest ? 1 : Math.exp(1 - nearest / length)
}

function countsOf(ngrams: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const ngram of ngrams) counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
  return counts
}
