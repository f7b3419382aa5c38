// Every op of the tape.

export { activation, dualGate, gate } from './activation.js'
export { columns } from './columns.js'
export { add, map, mean, multiply, scale, softcap, sum } from './elementwise.js'
export { mixExperts, type Routing, routing, selectRows } from './experts.js'
export { linear } from './linear.js'
export { crossEntropy } from './loss.js'
export { l1Penalty } from './penalty.js'
export { sparseDown, sparseGate } from './sparse.js'
export {
  attention,
  embedding,
  layerNorm,
  type RopeTable,
  rmsNorm,
  rmsNormOfParts,
  rope,
} from './transformer.js'
