// Tensors, the tape and its ops.

export * as ops from './ops/index.js'
export { Tape } from './tape.js'
export { constant, type DType, parameter, type Shape, show, sizeOf, Tensor } from './tensor.js'
