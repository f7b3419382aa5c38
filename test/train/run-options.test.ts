// The options of `train` as a library user gives them: what is left out has a default, what is wrong is named.

import { describe, expect, it } from 'vitest'
import { OptionError, type TrainRun, train } from '../../src/index.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

const { data } = tinyRun('unused')

/** The error of `train` with options that its type may forbid, as a JavaScript user can give them. */
async function refusal(options: unknown): Promise<OptionError> {
  const error = await train(options as TrainRun).catch((error: unknown) => error)
  if (!(error instanceof OptionError)) throw new Error(`not an OptionError: ${String(error)}`)
  return error
}

describe('the options of train', () => {
  it('train with some of them given', async () => {
    const { evaluations, checkpoint } = await train({
      directory: temporaryDirectory(),
      model: { hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 1 },
      strategy: { strategy: 'swift' },
      training: { steps: 2, batchSize: 2, context: 8, evalTokens: 16 },
      data,
    })
    expect(checkpoint).toContain('checkpoint-2')
    expect(evaluations.at(-1)?.step).toBe(2)
  })

  it('are each named when they are missing or wrong, by an OptionError', async () => {
    const { code, message } = await refusal({ strategy: { strategy: 'swift' } })
    expect(code).toBe('OPTION_INVALID')
    expect(message).toContain('directory')
    expect(message).toContain('data')
    const whole = { directory: 'runs/x', strategy: { strategy: 'swift' }, data }
    for (const [wrong, words] of [
      [{ training: { step: 5 } }, 'Did you mean "steps"?'],
      [{ training: { steps: -1 } }, 'training.steps: must be at least 0, not -1'],
      [{ model: { hiddenSize: '8' } }, 'model.hiddenSize: must be a number, not "8"'],
      [{ strategy: { strategy: 'swift', p: 0.3 } }, 'strategy.p: unknown key'],
      [{ strategy: { strategy: 'scratch', activation: 'sliu' } }, 'sliu'],
      [{ strategy: 'swift' }, 'strategy'],
      [{ data: 'corpus.txt' }, 'data'],
      [{ onProgres: () => {} }, 'Did you mean "onProgress"?'],
    ] as const) {
      expect((await refusal({ ...whole, ...wrong })).message).toContain(words)
    }
    expect((await refusal(undefined)).code).toBe('OPTION_INVALID')
    expect((await refusal('runs/x')).code).toBe('OPTION_INVALID')
  })
})
