// Kernel calls that repeat from token to token: recorded once, then made again without TypeScript between them.

/**
 * Records the kernel calls of one backend. Every call of a section is repeated with the arrays and numbers that it was made
 * with, but for the position of the row that is computed: that of attention's new position in its cache, and the first row of
 * draws. So the calls must be of one row, whose position those that draw and attend have in common; and nothing but kernels
 * may compute within a section. The results are the bits of the calls made one by one.
 */
export interface CallRecorder {
  /**
   * Runs `body`, and keeps the kernel calls that it makes. Returns the number of the section, or null where a call of it
   * cannot be repeated. What the body throws is passed on.
   */
  record(body: () => void): number | null
  /**
   * Makes the calls of the first `count` of `sections` again, for the row at `position`. Returns the results of those
   * that return a number, in order: valid until the next call. Throws a RangeError where a cache has no room for the position.
   */
  replay(sections: Int32Array, count: number, position: number): Float64Array
}
