// What is asked of a GPU, and what it says of itself; declared without the types of WebGPU, which users need not have.

export interface GpuOptions {
  /** Use subgroup operations where the adapter has them. Default true. */
  readonly subgroups?: boolean
  /** Instead of the adapter's limit: matrices larger than this are split by rows. For tests. */
  readonly maxBindingBytes?: number
  /** Instead of what suits the adapter; `lanes`: a power of two. For measurements. */
  readonly lanes?: number
  readonly ahead?: number
  readonly together?: number
}

export interface GpuInfo {
  /** Vendor, architecture and name, as the driver gives them. */
  readonly name: string
  /** Whether it is a processor that stands in for a GPU. */
  readonly fallback: boolean
  readonly subgroups: boolean
  /** Invocations that add up one row of a matrix together. */
  readonly lanes: number
  /** Vectors that an invocation reads before it uses the first: a GPU's memory answers all in the time of one. */
  readonly ahead: number
  /** Rows of a large matrix that a group of invocations multiplies together, so that it reads the vector once for all. */
  readonly together: number
}
