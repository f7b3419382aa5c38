// `flicker sparsity --law`: active neurons over the training of a run.

import path from 'node:path'
import { parseActivation } from '../activations/index.js'
import { OptionError } from '../errors.js'
import { openModel, runCheckpoints, writeFileAtomic } from '../formats/index.js'
import { activeWithinRise, lawsOf, renderOverTraining } from '../sparsify/lab/over-training.js'
import type { ActivationPoint } from '../sparsify/lab/sparsing-law.js'
import type { TextOptions } from '../sparsify/sparsify.js'
import { readEvaluations, readRunOptions, trainingSchema } from '../train/index.js'
import { log, print, printJson } from './terminal.js'

/** Throws OptionError NO_RUN, LAW_POINTS, and what measuring checkpoints throws. */
export function sparsityLaw(
  run: string,
  text: TextOptions,
  { out, json }: { readonly out: string; readonly json?: boolean },
): void {
  const stored = readRunOptions(run)
  if (stored === null) {
    throw new OptionError(
      'NO_RUN',
      `${run} is no directory of flicker train; --law needs the run, not one of its checkpoints`,
    )
  }
  const { batchSize, context, accumulate } = trainingSchema.parse({ ...stored.training, ...stored.intervals })
  const perStep = batchSize * context * accumulate
  const activation = String(stored.model.activation)
  const points = parseActivation(activation).exactZeros
    ? measured(run, activation, perStep)
    : fromCheckpoints(run, text, perStep)
  const results = lawsOf({ path: run, activation, points })
  writeFileAtomic(path.join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileAtomic(path.join(out, 'report.html'), renderOverTraining(results))
  if (json === true) {
    printJson(results)
    return
  }
  print('tokens         active')
  for (const { tokens, active } of results.points) {
    print(`${tokens.toLocaleString('en-US').padEnd(14)} ${(100 * active).toFixed(2)} %`)
  }
  for (const { law, parameters, intervals, error } of results.laws) {
    const all = Object.entries(parameters).map(([name, value]) => {
      const [low, high] = intervals[name]
      return `${name} ${value.toPrecision(3)} (${low.toPrecision(3)} to ${high.toPrecision(3)})`
    })
    print(`${law.padEnd(14)} ${all.join(', ')}; error ${(100 * error).toFixed(2)} points`)
  }
  print(`report         ${path.join(out, 'report.html')}`)
}

/** Zeros that the run itself has counted on held-out text with its last activation. */
function measured(run: string, activation: string, perStep: number): ActivationPoint[] {
  return readEvaluations(run)
    .filter(({ step, activation: own }) => step > 0 && own === activation)
    .map(({ step, sparsity }) => ({
      tokens: step * perStep,
      active: 1 - sparsity.reduce((sum, zeros) => sum + zeros, 0) / sparsity.length,
    }))
}

function fromCheckpoints(run: string, text: TextOptions, perStep: number): ActivationPoint[] {
  return runCheckpoints(run)
    .filter(({ step }) => step > 0)
    .map(({ dir, step }) => {
      log(`flicker: measuring ${dir}`)
      const source = openModel(dir)
      try {
        return { tokens: step * perStep, active: activeWithinRise(source, text) }
      } finally {
        source.close()
      }
    })
}
