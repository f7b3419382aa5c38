// Working memory of the portable kernels: buffers that grow to the largest size asked for and are then reused,
// so that a training step allocates nothing after the first.

/** A function that hands out the same buffer, at least `length` long, with whatever it held before. */
export function scratch(): (length: number) => Float64Array {
  let buffer = new Float64Array(0)
  return length => {
    if (buffer.length < length) buffer = new Float64Array(length)
    return buffer
  }
}
