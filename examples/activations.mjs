// The values of two activations, and the size of the catalog: node examples/activations.mjs
import { listActivations, parseActivation } from 'flicker-lm'

const relu = parseActivation('relu')
const silu = parseActivation('silu')
for (const x of [-2, -1, 0, 1, 2]) console.log(x, relu.forward(x, 0), silu.forward(x, 0).toFixed(4))
console.log(listActivations().length, 'activations in the catalog')
