// Train with an activation of one's own and count the neurons that it leaves at 0: node examples/custom-activation.mjs
import { fileURLToPath } from 'node:url'
import { load, loadActivationFile, prepareData, train } from 'flicker-lm'

const activation = fileURLToPath(new URL('own/steep-relu.mjs', import.meta.url))
// Loading a file runs its code: this call says that it may.
const steep = loadActivationFile(activation)
console.log(steep.spec, 'at 2:', steep.forward(2, 0), 'slope:', steep.derivative(2, 0))

const { evaluations } = await train({
  directory: 'runs/own-activation',
  fresh: true,
  strategy: { strategy: 'scratch', activation },
  data: prepareData({ corpus: 'README.md', tokenizer: 'bytes' }),
  model: { hiddenSize: 16, intermediateSize: 48, numHiddenLayers: 2, numAttentionHeads: 2 },
  training: { steps: 20, batchSize: 2, context: 64, evalEvery: 20, evalTokens: 128 },
})
console.log('loss', evaluations[evaluations.length - 1]?.loss.toFixed(3))

const model = await load('runs/own-activation')
const { stats } = await model.complete('# ', { maxTokens: 10 })
stats.activeFraction.forEach((fraction, layer) => {
  console.log(`layer ${layer}: ${(100 * fraction).toFixed(1)} % of the neurons active`)
})
model.dispose()
