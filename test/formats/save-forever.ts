// Run as a process of its own: saves one training checkpoint after another, going on from the latest, until killed.

import { latestRunCheckpoint, saveRunCheckpoint } from '../../src/formats/training-state.js'
import { contentOfStep, stepOf } from './tiny-model.js'

const runDirectory = process.argv[2]
const latest = latestRunCheckpoint(runDirectory)
for (let step = latest === null ? 0 : stepOf(latest.dir); ; step++) {
  // Twice, because a step that is saved again replaces its own directory.
  saveRunCheckpoint(runDirectory, step, contentOfStep(step))
  saveRunCheckpoint(runDirectory, step, contentOfStep(step))
  process.stdout.write('.')
}
