// Drawing and measuring on a small random model: what is drawn is what the engine draws, likelihoods are the model's.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { renderDiversityPage } from '../../src/diversity/report.js'
import { type DiversityRun, runDiversity } from '../../src/diversity/run.js'
import { parseDiversitySettings } from '../../src/diversity/settings.js'
import { EngineModel, LanguageModel } from '../../src/engine/index.js'
import { bestCompletion } from '../../src/eval/best-of.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, activation: 'relu' }
const tensors = tensorOf(randomTensors(config, 4))
const model = new LanguageModel(new EngineModel(config, tensors), tokenizer)

const yaml = `
n: 4
maxTokens: 6
seed: 3
ignoreEos: true
ways:
  - temperature: [0.7, 1.5]
  - p: 0.5
`
const prompts = [{ prompt: 'The ' }, { prompt: 'A cat' }]
const run = (more: Partial<DiversityRun> = {}, text = yaml): DiversityRun => ({
  ...{ name: 'tiny', prompts, ...parseDiversitySettings(text, 'test') },
  ...more,
})

/** Mean nats per token of a continuation, byte by byte from the logits of the model as it is. */
function meanNats(prompt: string, ids: readonly number[]): number {
  const before = [...Buffer.from(prompt)]
  const logits = model.logits([...before, ...ids.slice(0, -1)])
  const total = ids.reduce((sum, id, i) => {
    const row = Array.from(logits.subarray((before.length + i - 1) * 257, (before.length + i) * 257))
    return sum + row[id] - Math.log(row.reduce((all, logit) => all + Math.exp(logit), 0))
  }, 0)
  return total / ids.length
}

describe('every way of every prompt', () => {
  it('has the texts that the engine draws, and their likelihood under the model without draws', async () => {
    const results = await runDiversity(model, run())
    expect(results.ways.map(({ way }) => way.label)).toEqual(['T 0.7', 'T 1.5', 'p 0.5'])
    const common = { n: 4, maxTokens: 6, seed: 3, ignoreEos: true }
    const drawn = [
      { ...common, temperature: 0.7, activation: 'relu' },
      { ...common, temperature: 1.5, activation: 'relu' },
      { ...common, temperature: 0, activation: 'stocha:p=0.5' },
    ]
    for (const [w, options] of drawn.entries()) {
      for (const [i, { prompt }] of prompts.entries()) {
        const completions = await model.completeMany(prompt, options)
        const { samples, perPrompt } = results.ways[w]
        expect(samples[i]).toEqual({ prompt, texts: completions.map(({ text }) => text) })
        const likelihoods = completions.map(({ tokens }) =>
          meanNats(
            prompt,
            tokens.map(({ id }) => id),
          ),
        )
        const expected = likelihoods.reduce((a, b) => a + b) / 4
        expect(Math.abs((perPrompt.likelihood?.[i] ?? 0) - expected)).toBeLessThan(1e-5)
        expect(perPrompt.tokens?.[i]).toBe(6)
        const first = new Set(completions.map(({ tokens }) => tokens[0].id))
        expect((perPrompt.firstEntropy?.[i] ?? 0) > 0).toBe(first.size > 1)
      }
      const { mean, interval } = results.ways[w].measures.likelihood ?? { mean: 0, interval: null }
      expect(interval?.low).toBeLessThanOrEqual(mean)
    }
    expect(await runDiversity(model, run())).toEqual({
      ...results,
      ways: results.ways.map(way => ({ ...way, tokensPerSecond: expect.any(Number) })),
    })
  })

  it('has measures of answers where prompts have some', async () => {
    const answered = prompts.map(({ prompt }) => ({ prompt, answers: ['no such answer'] }))
    const { ways, hasAnswers, deterministicConfidence } = await runDiversity(
      model,
      run({ prompts: answered }),
    )
    expect(hasAnswers).toBe(true)
    for (const { measures, confidence } of ways) {
      expect(measures).toMatchObject({ exact: { mean: 0 }, coverage: { mean: 0 }, majority: { mean: 0 } })
      expect(measures.passAt5).toBeUndefined()
      expect(confidence?.auroc).toBeNull()
      expect(confidence?.calibrationError).toBeGreaterThan(0)
    }
    expect(deterministicConfidence).toMatchObject({ exact: 0, auroc: null, calibrationError: null })
  })

  it('is told as it comes', async () => {
    const told: number[] = []
    await runDiversity(model, run({ onProgress: ({ done }) => told.push(done) }))
    expect(told).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  it('stops when it is interrupted', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort()
    await expect(runDiversity(model, run({ signal: controller.signal, onProgress }))).rejects.toMatchObject({
      code: 'INTERRUPTED',
    })
  })
})

describe('an interrupted run', () => {
  const directory = temporaryDirectory()
  afterAll(() => fs.rmSync(directory, { recursive: true }))

  it('continues behind what is finished, after any prompt, and gives the same results', async () => {
    const answered = prompts.map(({ prompt }) => ({ prompt, answers: ['e'] }))
    const log = { directory, model: 'tiny' }
    const all = { prompts: answered, log }
    const timeless = (results: object) => JSON.stringify(results).replace(/"tokensPerSecond":[\d.e+-]+/g, '')
    const whole = timeless(await runDiversity(model, run({ prompts: answered })))
    let sessions = 0
    for (let finished = false; !finished; sessions++) {
      const controller = new AbortController()
      // One prompt of each session is kept.
      const onProgress = ({ done, found }: { done: number; found: number }) => {
        if (done > found) controller.abort()
      }
      try {
        const results = await runDiversity(model, run({ ...all, signal: controller.signal, onProgress }))
        expect(timeless(results)).toBe(whole)
        finished = true
      } catch (error) {
        expect((error as { code?: string }).code).toBe('INTERRUPTED')
        const [file] = fs.readdirSync(directory)
        fs.appendFileSync(path.join(directory, file), '{"way": "T 0.7", "prom')
      }
    }
    expect(sessions).toBe(6)
    const found: number[] = []
    const told = { onProgress: (progress: { found: number }) => void found.push(progress.found) }
    await runDiversity(model, run({ ...all, ...told }))
    await runDiversity(model, run({ ...all, ...told }, yaml.replace('seed: 3', 'seed: 4')))
    await runDiversity(model, run({ prompts: answered, log: { ...log, model: 'other' }, ...told }))
    expect([...new Set(found)].sort()).toEqual([0, 6])
    expect(found[0]).toBe(6)
  })
})

describe('what cannot be measured is refused before anything is drawn', () => {
  it('a prompt that leaves no room', async () => {
    const long = [{ prompt: 'The ' }, { prompt: 'x'.repeat(95) }]
    await expect(runDiversity(model, run({ prompts: long }))).rejects.toThrow(
      /prompt 2 has 95 tokens, and with 6 more/,
    )
  })

  it('likelihoods with an activation that draws', async () => {
    const drawing = `deterministic: stocha:p=0.5\n${yaml}`
    await expect(runDiversity(model, run({}, drawing))).rejects.toThrow(/stocha:p=0.5.* draws; name another/)
  })
})

it('the page has a row for each way, and holds texts as text', async () => {
  const results = await runDiversity(model, run({ prompts: [{ prompt: '<b>The' }, { prompt: 'A' }] }))
  const page = renderDiversityPage(results)
  for (const label of ['T 0.7', 'T 1.5', 'p 0.5']) expect(page).toContain(`<th scope="row">${label}</th>`)
  expect(page).toContain('&lt;b&gt;The')
  expect(page).not.toContain('<b>The')
  expect(page).not.toMatch(/NaN|undefined/)
})

describe('the best of several completions', () => {
  it('by likelihood has the highest mean log-likelihood under the model without draws', async () => {
    const completions = await model.completeMany('The ', {
      n: 6,
      maxTokens: 5,
      temperature: 2,
      seed: 2,
      activation: 'stocha:p=0.5',
    })
    const scores = completions.map(({ tokens }) =>
      meanNats(
        'The ',
        tokens.map(({ id }) => id),
      ),
    )
    const best = scores.indexOf(Math.max(...scores))
    expect(bestCompletion(model, [...Buffer.from('The ')], completions, 'likelihood')).toBe(best)
    expect(new Set(scores).size).toBe(6)
  })

  it('by vote is the first of the most frequent texts', async () => {
    const completions = await model.completeMany('The ', { n: 4, maxTokens: 3, temperature: 1, seed: 1 })
    const texts = ['one', 'Two', 'two!', 'three']
    const renamed = completions.map((completion, i) => ({ ...completion, text: texts[i] }))
    expect(bestCompletion(model, [], renamed, 'vote')).toBe(1)
  })
})
