// The fraction of active neurons per layer while a model continues a prompt: node examples/sparsity.mjs MODEL [PROMPT]
import { load } from 'flicker-lm'

const [path = 'runs/example', prompt = 'Flicker '] = process.argv.slice(2)
const model = await load(path)
const { stats } = await model.complete(prompt, { maxTokens: 20 })
stats.activeFraction.forEach((fraction, layer) => {
  console.log(`layer ${layer}: ${(100 * fraction).toFixed(1)} % of the neurons active`)
})
model.dispose()
