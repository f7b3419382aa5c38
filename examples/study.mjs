// A study of two runs, from a recipe to a report: node examples/study.mjs [RECIPE.yaml]
import { parseRecipe, readRecipe, study } from 'flicker-lm'

const small = `
name: example-study
title: SiLU throughout, and SiLU followed by ReLU
corpus: README.md
model: {hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 1, numAttentionHeads: 2}
training: {steps: 10, batchSize: 2, context: 32, evalEvery: 5, evalTokens: 128}
measure: {decodeTokens: 8, decodePasses: 1, sampleTokens: 8, sampleSeeds: [1]}
runs:
  - {name: silu, strategy: scratch, activation: silu}
  - {name: swift, strategy: swift, alpha: 0.2}
`
const [file] = process.argv.slice(2)
const recipe = file === undefined ? parseRecipe(small, 'example-study.yaml') : readRecipe(file)
const directory = `runs/${recipe.name}`
const results = await study(recipe, {
  directory,
  onEvent: event =>
    event.kind === 'run' && console.log(`run ${event.index + 1} of ${event.runs}: ${event.run.name}`),
  onNotice: notice => console.log(`note: ${notice}`),
})
for (const { name, final } of results.runs) {
  const zeros = final.sparsity.map(fraction => `${(100 * fraction).toFixed(1)} %`).join(', ')
  console.log(`${name}: loss ${final.loss.toFixed(3)}, exact zeros per layer: ${zeros}`)
}
console.log(`${directory}/report.html has the figures`)
