// `flicker bench memory`: resident memory after 100 and after 1,000 training steps.

import { machineInfo } from '../kernels/machine-info.js'
import { TRAIN_SHAPES, trainingStepFor } from './train.js'

export function benchMemory() {
  const shape = TRAIN_SHAPES[0]
  const run = trainingStepFor(shape, 'stocha:p=0.7')
  const rss: Record<number, number> = {}
  for (let step = 1; step <= 1000; step++) {
    run(step)
    if (step === 100 || step === 1000) rss[step] = process.memoryUsage.rss()
  }
  return {
    machine: machineInfo(),
    shape,
    bytesAfter100: rss[100],
    bytesAfter1000: rss[1000],
    ratio: rss[1000] / rss[100],
  }
}
