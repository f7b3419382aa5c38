// What chooses the neurons that are computed at all, before their gate is. The others are taken as 0, whatever they would
// have been: approximate decoding, never chosen by default.

/** A token of a sequence, read alone. */
export interface SelectedToken {
  /** The same object for all tokens of a sequence. */
  readonly sequence: object
  readonly position: number
  /** The first position that approximations apply to. */
  readonly from: number
}

export interface NeuronSelector {
  /** For people: what it leaves out. */
  readonly description: string
  /** Bytes that choosing reads, per layer and token. */
  readonly bytes: number
  /**
   * Sets `chosen` (h) to 1 for the neurons to compute and to 0 for the others, and returns true; or returns false: all are
   * computed. input: (d), what the FFN reads.
   */
  select(layer: number, token: SelectedToken, input: Float32Array, chosen: Float32Array): boolean
  /** Told the activated gate (h) of a token at which all were computed. */
  observe(layer: number, token: SelectedToken, activated: Float32Array): void
}
