// What a pass has read and left out, and what it tells of a token.

/** What one pass over the layers has read, counted for all the sequences that took part in it. */
export interface PassStats {
  /** Sequences that shared everything that was read. */
  readonly sequences: number
  /** One row per sequence while decoding, up to a block of rows of a prompt. */
  readonly rows: number
  /** Bytes of the FFN's weights that were read, per layer. */
  readonly ffnBytesRead: Float64Array
  /** Bytes of the FFN's weights that were not read, as their neurons are exactly 0, per layer. */
  readonly ffnBytesSkipped: Float64Array
  /** Bytes of everything else: attention, head, embedding, keys and values. */
  otherBytesRead: number
  /** Bytes of attention's matrices that were not read, as cuts made their inputs 0. */
  attentionBytesSkipped: number
}

/** One token of one sequence. */
export interface TokenStats {
  /** Neurons whose activation is not exactly 0, per layer. */
  readonly activeNeurons: Int32Array
  /**
   * Where the session was told to: of every neuron, layers × intermediateSize, whether its activation was exactly 0 (0),
   * positive (1) or negative (2); with StochA the negative ones are those that were drawn.
   */
  readonly neurons?: Uint8Array
  /** The pass that it was computed in. */
  readonly pass: PassStats
}

/** All bytes read in a pass. */
export function bytesRead({ ffnBytesRead, otherBytesRead }: PassStats): number {
  return ffnBytesRead.reduce((sum, bytes) => sum + bytes, otherBytesRead)
}

/** All bytes that a pass did not have to read. */
export function bytesSkipped({ ffnBytesSkipped, attentionBytesSkipped }: PassStats): number {
  return ffnBytesSkipped.reduce((sum, bytes) => sum + bytes, attentionBytesSkipped)
}

/** Counts of a pass that has read nothing yet. */
export function emptyStats(sequences: number, rows: number, layers: number): PassStats {
  const [ffnBytesRead, ffnBytesSkipped] = [new Float64Array(layers), new Float64Array(layers)]
  return { sequences, rows, ffnBytesRead, ffnBytesSkipped, otherBytesRead: 0, attentionBytesSkipped: 0 }
}
