// The unigram model (Kudo 2018, arXiv 1804.10959): of all ways to cut a word into pieces, the one with the highest sum
// of scores. It follows Hugging Face's tokenizers (Rust), ties included.

import { z } from 'zod'
import { TokenizerError } from '../../../errors.js'
import { optionsOf } from './components.js'
import { fallbackBytes, type ModelContext, type WordModel } from './word-model.js'

/** How much less than the lowest score an unknown character has. */
const UNKNOWN_PENALTY = 10

interface TrieNode {
  readonly next: Map<string, TrieNode>
  /** The piece that ends here. */
  id: number
}

export function unigram(component: object, context: ModelContext): WordModel['encode'] {
  const shape = {
    vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
    unk_id: z.int().nullish(),
    byte_fallback: z.boolean().default(false),
  }
  const options = optionsOf(component, shape, context)
  const { vocab, unk_id: unknown = null } = options
  if (unknown !== null && !(unknown >= 0 && unknown < vocab.length)) {
    throw new TokenizerError(
      'TOKENIZER_INVALID',
      `tokenizer ${context.source}: model.unk_id is ${unknown}, outside the vocabulary of ${vocab.length}`,
    )
  }
  const root: TrieNode = { next: new Map(), id: -1 }
  let lowest = Number.POSITIVE_INFINITY
  for (const [id, [text, score]] of vocab.entries()) {
    lowest = Math.min(lowest, score)
    let node = root
    for (const character of text) {
      let next = node.next.get(character)
      if (next === undefined) {
        next = { next: new Map(), id: -1 }
        node.next.set(character, next)
      }
      node = next
    }
    node.id = id
  }
  const unknownScore = lowest - UNKNOWN_PENALTY
  const byteIds = options.byte_fallback ? fallbackBytes(context.ids) : null
  const encoder = new TextEncoder()

  return (word, out) => {
    const characters = [...word]
    const n = characters.length
    const score = new Float64Array(n + 1)
    const start = new Int32Array(n + 1).fill(-1)
    const id = new Int32Array(n + 1).fill(-1)
    const offer = (from: number, to: number, piece: number, ofPiece: number) => {
      const candidate = score[from] + ofPiece
      if (start[to] !== -1 && candidate <= score[to]) return
      score[to] = candidate
      start[to] = from
      id[to] = piece
    }
    for (let from = 0; from < n; from++) {
      let node = root
      let hasSingle = false
      for (let to = from; to < n; to++) {
        const next = node.next.get(characters[to])
        if (next === undefined) break
        node = next
        if (node.id === -1) continue
        offer(from, to + 1, node.id, vocab[node.id][1])
        if (to === from) hasSingle = true
      }
      if (!hasSingle) offer(from, from + 1, unknown ?? -1, unknownScore)
    }
    const found: (readonly [id: number, from: number, to: number])[] = []
    for (let to = n; to > 0; to = start[to]) {
      const last = found.at(-1)
      // Unknown characters side by side are one unknown piece.
      if (last !== undefined && isUnknown(id[to]) && isUnknown(last[0])) {
        found[found.length - 1] = [last[0], start[to], last[2]]
      } else found.push([id[to], start[to], to])
    }
    for (const [piece, from, to] of found.reverse()) {
      if (!isUnknown(piece)) {
        out.push(piece)
        continue
      }
      const text = characters.slice(from, to).join('')
      // Joined unknown characters may be a piece after all.
      const whole = context.ids.get(text)
      const bytes = byteIds === null ? null : [...encoder.encode(text)].map(byte => byteIds[byte])
      if (whole !== undefined) out.push(whole)
      else if (bytes !== null && !bytes.includes(undefined)) out.push(...bytes)
      else out.push(unknown ?? undefined)
    }
  }

  function isUnknown(piece: number): boolean {
    return piece === -1 || piece === unknown
  }
}
