// Compares two activations on the lab's small network, two runs each: node examples/lab.mjs
import { finalNumbers, runLab } from 'flicker-lm/lab'

const { variants } = await runLab({ nSamples: 400, epochs: 3, nRuns: 2, activations: ['relu', 'silu'] })
for (const variant of variants) console.log(variant.label, finalNumbers(variant).validationLoss)
