// Every op of the tape.

export { add, map, mean, multiply, scale, sum } from './elementwise.js'
export { linear } from './linear.js'
export { crossEntropy } from './loss.js'
export {
  activation,
  attention,
  embedding,
  gate,
  type RopeTable,
  rmsNorm,
  rope,
  ropeTable,
} from './transformer.js'
