// A study from corpus to report, small enough for a test.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { readCheckpoint } from '../../src/formats/index.js'
import { parseRecipe } from '../../src/study/recipe.js'
import { type StudyEvent, study } from '../../src/study/study.js'
import { temporaryDirectory } from '../train/tiny-run.js'

const words = ['red', 'green', 'blue', 'black', 'white', 'brown', 'gray']
const text = Array.from({ length: 900 }, (_, i) => `${words[i % 7]} ${words[(3 * i) % 7]} ${i % 10}`).join(
  '. ',
)

function recipe(directory: string) {
  fs.writeFileSync(path.join(directory, 'corpus.txt'), text)
  return parseRecipe(
    `
name: tiny
title: A tiny study
corpus: ${path.join(directory, 'corpus.txt')}
tokenizer: chars
model: {hiddenSize: 16, intermediateSize: 48, numHiddenLayers: 2, numAttentionHeads: 2}
training: {steps: 30, batchSize: 4, context: 32, evalEvery: 10, evalTokens: 256, checkpointEvery: 10, warmupSteps: 5, learningRate: 0.01}
measure: {evalTokens: 500, decodeTokens: 8, decodePasses: 1, prompt: red, sampleTokens: 12, sampleSeeds: [1, 2]}
runs:
  - {name: silu, strategy: scratch, activation: silu, label: SiLU}
  - {name: relu, strategy: scratch, activation: relu, label: ReLU}
  - {name: swift, strategy: swift, alpha: 0.2, label: Swi+FT}
  - {name: stocha, strategy: stocha, alpha: 0.2, label: StochA}
`,
    'tiny.yaml',
  )
}

describe('a study', () => {
  it('trains and measures every run, and writes results and a report', async () => {
    const directory = temporaryDirectory()
    const trainedSteps: number[] = []
    const results = await study(recipe(directory), {
      directory: path.join(directory, 'out'),
      onEvent: event => {
        if (event.kind === 'run') trainedSteps.push(0)
        if (event.kind === 'step') trainedSteps[trainedSteps.length - 1]++
      },
    })
    expect(results.runs.map(run => run.name)).toEqual(['silu', 'relu', 'swift', 'stocha'])
    // Swi+FT begins where SiLU was at the switch.
    expect(trainedSteps).toEqual([30, 30, 6, 30])
    expect(
      fs.readdirSync(path.join(directory, 'out/silu')).filter(name => name.startsWith('branch')),
    ).toEqual([])
    expect(JSON.parse(fs.readFileSync(path.join(directory, 'out/results.json'), 'utf8'))).toEqual(results)
    for (const file of ['results.md', 'report.html']) {
      const content = fs.readFileSync(path.join(directory, 'out', file), 'utf8')
      for (const run of results.runs) expect(content).toContain(run.label)
    }
    const [silu, relu, swift, stocha] = results.runs
    expect(silu.final.sparsity).toEqual([0, 0])
    expect(silu.speed.every(({ sparse }) => sparse === null)).toBe(true)
    expect(swift.switchStep).toBe(24)
    for (const run of [relu, swift, stocha]) {
      expect(Math.min(...run.final.sparsity)).toBeGreaterThan(0.2)
      expect(run.speed.every(({ dense, sparse }) => dense > 0 && (sparse ?? 0) > 0)).toBe(true)
      expect(run.samples.map(({ kind }) => kind)).toEqual(['sampled', 'greedy', 'stochastic', 'stochastic'])
    }
    // Same seed: the same weights, data and draws, so SiLU and Swi+FT are one run until the switch.
    const until = (run: typeof silu) => run.curve.filter(({ step }) => step <= 24)
    expect(until(swift)).toEqual(until(silu))
    expect(until(relu)).not.toEqual(until(silu))
    for (const run of results.runs) expect(run.final.perplexity).toBeCloseTo(Math.exp(run.final.loss), 6)
    // Inference is ReLU's, and the checkpoint says so.
    const checkpoint = readCheckpoint(path.join(directory, 'out/stocha/checkpoint-30'))
    expect(checkpoint.config.activation).toBe('relu')
    checkpoint.close()
  })

  it('interrupted resumes, and does not train again what is finished', async () => {
    const directory = temporaryDirectory()
    const out = path.join(directory, 'out')
    const controller = new AbortController()
    const stopInSecond = (event: StudyEvent) => {
      if (event.kind === 'run' && event.index === 1) controller.abort()
    }
    const first = study(recipe(directory), {
      directory: out,
      signal: controller.signal,
      onEvent: stopInSecond,
    })
    await expect(first).rejects.toMatchObject({ code: 'INTERRUPTED', exitCode: 130 })
    expect(fs.existsSync(path.join(out, 'results.json'))).toBe(false)

    const steps: string[] = []
    const again: boolean[] = []
    let current = ''
    const events = (event: StudyEvent) => {
      if (event.kind === 'run') current = event.run.name
      if (event.kind === 'step') steps.push(`${current} ${event.progress.step}`)
      if (event.kind === 'finished') again.push(event.again)
    }
    const resumed = await study(recipe(directory), { directory: out, onEvent: events })
    expect(again).toEqual([true, false, false, false])
    expect(steps).not.toContain('silu 30')
    expect(steps).not.toContain('relu 1')
    expect(steps).toContain('relu 2')

    const whole = await study(recipe(directory), { directory: path.join(directory, 'whole') })
    expect(resumed.runs.map(run => run.final)).toEqual(whole.runs.map(run => run.final))
    expect(resumed.runs.map(run => run.samples)).toEqual(whole.runs.map(run => run.samples))

    steps.length = 0
    await study(recipe(directory), { directory: out, onEvent: events })
    expect(steps).toEqual([])
    await study(recipe(directory), { directory: out, onEvent: events, fresh: true })
    expect(steps).toContain('silu 1')
  })

  it('opened again on another machine keeps the machine of its timings, and measures again what is damaged', async () => {
    const directory = temporaryDirectory()
    const out = path.join(directory, 'out')
    const one = { ...recipe(directory), runs: recipe(directory).runs.slice(0, 1) }
    const first = await study(one, { directory: out })
    const file = path.join(out, 'silu/result.json')
    const stored = JSON.parse(fs.readFileSync(file, 'utf8'))
    const elsewhere = { ...stored.result.machines.measuring, cpu: 'Another CPU' }
    stored.result.machines = { training: [elsewhere], measuring: elsewhere }
    fs.writeFileSync(file, JSON.stringify(stored))
    const again = await study(one, { directory: out })
    expect(again.runs[0].machines.measuring.cpu).toBe('Another CPU')
    expect(again.runs[0].speed).toEqual(first.runs[0].speed)
    for (const report of ['report.html', 'results.md']) {
      expect(fs.readFileSync(path.join(out, report), 'utf8')).toContain('Another CPU')
    }
    for (const damaged of [{}, null, 'x', { ...stored.result, speed: 3 }]) {
      fs.writeFileSync(file, JSON.stringify({ ...stored, result: damaged }))
      const measured = await study(one, { directory: out })
      expect(measured.runs[0].final).toEqual(first.runs[0].final)
      expect(measured.runs[0].machines.measuring.cpu).toBe(first.machine.cpu)
    }
  })

  it('refuses a prompt that fills the context, and a directory that cannot be made, before it trains', async () => {
    const directory = temporaryDirectory()
    const long = recipe(directory)
    long.measure.prompt = 'red '.repeat(8)
    const out = path.join(directory, 'out')
    await expect(study(long, { directory: out })).rejects.toMatchObject({ code: 'PROMPT_TOO_LONG' })
    await expect(study(recipe(directory), { directory: '/proc/study' })).rejects.toMatchObject({
      exitCode: 1,
    })
    expect(fs.existsSync(out)).toBe(false)
  })

  it('of the catalog trains each entry over its seeds, in every form of the FFN', async () => {
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, 'corpus.txt'), text)
    const list = parseRecipe(
      `
name: list
title: A part of the catalog
corpus: ${path.join(directory, 'corpus.txt')}
tokenizer: chars
model: {hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 1, numAttentionHeads: 2}
training: {steps: 6, batchSize: 2, context: 16, evalEvery: 6, evalTokens: 64, checkpointEvery: 6, warmupSteps: 2}
measure: {evalTokens: 100, dtypes: [f32], decodeTokens: 4, decodePasses: 1, prompt: red, sampleTokens: 0}
seeds: [3, 4]
activations: [silu, xielu, "mix:relu@0.5,gelu@0.5", stat-topk]
runs:
  - {name: drelu, strategy: scratch, activation: relu, ffn: drelu}
  - {name: spark, strategy: scratch, activation: "stat-topk:k=0.2", ffn: spark}
`,
      'list.yaml',
    )
    const out = path.join(directory, 'out')
    const results = await study(list, { directory: out })
    expect(results.runs.map(run => run.label)).toEqual([
      'drelu',
      'spark',
      'silu',
      'xielu',
      'mix:relu@0.5,gelu@0.5',
      'stat-topk',
    ])
    for (const run of results.runs) {
      expect(run.perSeed?.map(({ seed }) => seed)).toEqual([3, 4])
      const [a, b] = (run.perSeed ?? []).map(({ final }) => final.loss)
      expect(a).not.toBe(b)
      expect(run.final.loss).toBeCloseTo((a + b) / 2, 12)
    }
    expect(fs.existsSync(path.join(out, 'xielu/seed-4/result.json'))).toBe(true)
  })
})
