// What decoding did: counted at every token, since counting costs next to nothing.

/** One pass over the layers, of all the texts that took part in it. */
export interface PassStats {
  /** Texts that shared everything that was read. */
  readonly texts: number
  /** Rows: one per text while decoding, up to a block of a prompt. */
  readonly rows: number
  /** Bytes of the FFN's weights that were read, per layer. */
  readonly ffnBytesRead: Float64Array
  /** Bytes of the FFN's weights that were not read, as their neurons are exactly 0, per layer. */
  readonly ffnBytesSkipped: Float64Array
  /** Bytes of everything else: attention, head, embedding, keys and values. */
  otherBytesRead: number
}

/** Counts of a pass that has read nothing yet. */
export function passStats(texts: number, rows: number, layers: number): PassStats {
  return {
    texts,
    rows,
    ffnBytesRead: new Float64Array(layers),
    ffnBytesSkipped: new Float64Array(layers),
    otherBytesRead: 0,
  }
}

/** One token of one text. */
export interface TokenStats {
  /** Neurons whose activation is not exactly 0, per layer. */
  readonly activeNeurons: Int32Array
  /** The pass that it was computed in. */
  readonly pass: PassStats
}

/** Everything read in a pass, bytes. */
export function bytesRead({ ffnBytesRead, otherBytesRead }: PassStats): number {
  return ffnBytesRead.reduce((sum, bytes) => sum + bytes, otherBytesRead)
}

/** Everything that a pass did not have to read, bytes. */
export function bytesSkipped({ ffnBytesSkipped }: PassStats): number {
  return ffnBytesSkipped.reduce((sum, bytes) => sum + bytes, 0)
}
