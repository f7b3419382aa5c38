// Trains a tiny model with Swi+FT on a text and continues a prompt: node examples/train-and-generate.mjs [TEXT] [DIRECTORY]
import { load, prepareData, train } from 'flicker-lm'

const [corpus = 'README.md', directory = 'runs/example'] = process.argv.slice(2)
const { checkpoint } = await train({
  directory,
  strategy: { strategy: 'swift' },
  data: prepareData({ corpus, tokenizer: 'bytes' }),
  model: { hiddenSize: 32, intermediateSize: 96, numHiddenLayers: 2 },
  training: { steps: 40, batchSize: 4, context: 32, evalEvery: 20, evalTokens: 256 },
})
const model = await load(checkpoint)
const { text } = await model.complete('Flicker ', { maxTokens: 20, temperature: 0.8, seed: 1 })
console.log(text)
model.dispose()
