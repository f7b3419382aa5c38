// The laws of Sparsing Law: fitted to points of their own they give the parameters back, with intervals that hold them; each fits
// its own points better than the other does. The command on runs with and without exact zeros.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { fillNormal, Purpose } from '../../src/kernels/philox.js'
import { fitLaws, lawAt } from '../../src/sparsify/lab/sparsing-law.js'
import { modelSchema, type StrategyInput, train, trainingSchema } from '../../src/train/index.js'
import { flickerHere } from '../cli/in-process.js'
import { temporaryDirectory as ownDirectory } from '../formats/tiny-model.js'
import { tinyRun } from '../train/tiny-run.js'

const cwd = ownDirectory()
afterAll(() => fs.rmSync(cwd, { recursive: true }))
const at = (name: string) => path.join(cwd, name)

/** Points of a function of D over the last D, with noise of this standard deviation. */
function points(of: (x: number) => number, noise: number) {
  const errors = new Float32Array(24)
  fillNormal(errors, { seed: 2, purpose: Purpose.data, stream: 7 }, 0, 1)
  return Array.from({ length: 24 }, (_, i) => {
    const tokens = 1e5 * (i + 1)
    return { tokens, active: of(tokens / 2.4e6) + noise * errors[i] }
  })
}

describe('the laws of active neurons over tokens', () => {
  const falling = (x: number) => Math.exp(-3 * x ** 0.8 - 1) + 0.12
  const rising = (x: number) => 0.6 - 0.05 / x ** 0.5

  it('decreasing: exp(−c · D^α + b) + A₀ is found again', () => {
    const [decreasing, increasing] = fitLaws(points(falling, 0))
    expect(decreasing.law).toBe('decreasing')
    expect(decreasing.error).toBeLessThan(1e-4)
    for (const [name, value] of Object.entries({ limit: 0.12, alpha: 0.8, c: 3, b: -1 })) {
      expect(Math.abs(decreasing.parameters[name] - value), name).toBeLessThan(0.05 * Math.abs(value))
    }
    expect(increasing.error).toBeGreaterThan(20 * decreasing.error)
  })

  it('increasing: A₀ − c / D^α is found again, as the function of tokens that it is', () => {
    const given = points(rising, 0)
    const [decreasing, increasing] = fitLaws(given)
    expect(increasing.parameters.limit).toBeCloseTo(0.6, 2)
    expect(increasing.parameters.alpha).toBeCloseTo(0.5, 2)
    expect(increasing.parameters.c).toBeCloseTo(0.05, 2)
    for (const { tokens, active } of given) expect(lawAt(increasing, tokens, 2.4e6)).toBeCloseTo(active, 4)
    // A law that falls cannot follow points that rise.
    expect(decreasing.error).toBeGreaterThan(20 * increasing.error)
  })

  it('has intervals that hold the truth and widen with the noise', () => {
    const [quiet, loud] = [0.001, 0.01].map(noise => fitLaws(points(rising, noise))[1])
    for (const { intervals, parameters } of [quiet, loud]) {
      for (const [name, truth] of Object.entries({ limit: 0.6, alpha: 0.5, c: 0.05 })) {
        const [low, high] = intervals[name]
        expect(low).toBeLessThanOrEqual(parameters[name])
        expect(low, name).toBeLessThan(truth)
        expect(high, name).toBeGreaterThan(truth)
      }
    }
    const width = ({ intervals }: typeof quiet) => intervals.limit[1] - intervals.limit[0]
    expect(width(loud)).toBeGreaterThan(2 * width(quiet))
    expect(loud.error).toBeGreaterThan(0.003)
    expect(loud.error).toBeLessThan(0.02)
  })
})

describe('flicker sparsity --law', () => {
  const run = async (name: string, strategy: StrategyInput, more: object) => {
    const training = trainingSchema.parse({
      ...{ steps: 24, batchSize: 3, context: 64, warmupSteps: 4, evalTokens: 200, seed: 3 },
      ...more,
    })
    await train(
      tinyRun(at(name), {
        strategy,
        training,
        model: modelSchema.parse({
          hiddenSize: 16,
          intermediateSize: 40,
          numHiddenLayers: 2,
          numAttentionHeads: 2,
        }),
      }),
    )
  }
  const law = (name: string, ...more: string[]) => {
    const text = at('text.txt')
    fs.writeFileSync(text, Array.from({ length: 200 }, (_, i) => `${i} and ${i * i}. `).join(''))
    return flickerHere([
      ...['sparsity', '--model', at(name), '--law', '--text', text, '--out', at(`law-${name}`), '--json'],
      ...['--tokens', '256', '--measure-tokens', '128', '--context', '64', ...more],
    ])
  }

  it('takes the zeros that a run with ReLU has counted, against its tokens', async () => {
    await run('relu', { strategy: 'scratch', activation: 'relu' }, { evalEvery: 3 })
    const { code, stdout, stderr } = await law('relu')
    expect(code, stderr).toBe(0)
    const results = JSON.parse(stdout)
    const lines = fs.readFileSync(at('relu/metrics.jsonl'), 'utf8').trim().split('\n')
    const evaluations = lines.map(line => JSON.parse(line)).filter(({ kind }) => kind === 'evaluation')
    expect(evaluations).toHaveLength(8)
    expect(results.points).toEqual(
      evaluations.map(({ step, sparsity: [a, b] }) => ({
        tokens: step * 3 * 64,
        active: expect.closeTo(1 - (a + b) / 2, 12),
      })),
    )
    expect(results.laws.map((one: { law: string }) => one.law)).toEqual(['decreasing', 'increasing'])
    const page = fs.readFileSync(at('law-relu/report.html'), 'utf8')
    expect(/.{60}(NaN|undefined).{20}/s.exec(page)?.[0]).toBeUndefined()
  })

  it('measures every checkpoint of a run with SiLU that has kept them', async () => {
    await run(
      'silu',
      { strategy: 'scratch', activation: 'silu' },
      { evalEvery: 24, checkpointEvery: 4, keepCheckpoints: 6 },
    )
    const { code, stdout, stderr } = await law('silu')
    expect(code, stderr).toBe(0)
    const { points: all, activeWhere } = JSON.parse(stdout)
    expect(all.map(({ tokens }: { tokens: number }) => tokens / (3 * 64))).toEqual([4, 8, 12, 16, 20, 24])
    for (const { active } of all) {
      // Of a model that has learned next to nothing, all neurons may be left out.
      expect(active).toBeGreaterThanOrEqual(0)
      expect(active).toBeLessThan(1)
    }
    expect(activeWhere).toContain('CETT-PPL-1 %')
  })

  it.each([
    ['too few measurements', 'few', 'LAW_POINTS'],
    ['what is no run', 'nothing', 'NO_RUN'],
  ])('refuses %s in one line', async (_, name, code) => {
    if (name === 'few') await run('few', { strategy: 'scratch', activation: 'relu' }, { evalEvery: 12 })
    const { code: exit, stderr } = await law(name)
    expect([exit, stderr]).toEqual([2, expect.stringContaining(code)])
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(fs.existsSync(at(`law-${name}`))).toBe(false)
  })
})
