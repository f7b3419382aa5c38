// Benchmarks in a study: checked before training, asked of every run, shown with their intervals.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseRecipe } from '../../src/study/recipe.js'
import { renderMarkdown, renderTable } from '../../src/study/report/index.js'
import { renderStudyPage } from '../../src/study/report/page.js'
import type { TaskScore } from '../../src/study/results.js'
import { study } from '../../src/study/study.js'
import { meanTaskScores, withTaskDifferences } from '../../src/study/tasks.js'
import { writeRows } from '../eval/task-fixtures.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { madeResults } from './report/fixture.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
fs.writeFileSync(
  path.join(directory, 'corpus.txt'),
  'One two three. Two three one! Three one two? '.repeat(60),
)
const rows = Array.from({ length: 8 }, (_, i) => ({
  question: `One ${i}`,
  choices: [' two', ' zzz'],
  gold: i % 2,
}))
writeRows(directory, 'mine', rows)
writeRows(directory, 'blimp', [{ UID: 'wh_island', good: 'One two', bad: 'two One' }])
writeRows(
  directory,
  'piqa_val',
  Array.from({ length: 6 }, (_, i) => ({ goal: `g${i}`, sol1: 'one', sol2: 'two', label: i % 2 })),
)

const recipe = (tasks: string, tokenizer = 'bytes') =>
  parseRecipe(
    `
name: tiny
title: A tiny study
corpus: ${path.join(directory, 'corpus.txt')}
tokenizer: ${tokenizer}
model: {hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 1, numAttentionHeads: 2}
training: {steps: 6, batchSize: 2, context: 64, evalEvery: 6, evalTokens: 64, checkpointEvery: 6, warmupSteps: 2}
measure: {evalTokens: 100, dtypes: [], prompt: One, sampleTokens: 0}
tasks: ${tasks}
runs:
  - {name: silu, strategy: scratch, activation: silu, label: SiLU}
  - {name: relu, strategy: scratch, activation: relu, label: ReLU}
`,
    'tiny.yaml',
  )
const own = path.join(directory, 'mine.jsonl')

describe('tasks of a recipe', () => {
  it('are asked of every run, kept with it, and shown with their intervals', async () => {
    const tasks = `{names: ["${own}", piqa], data: ${directory}, limit: 6, bootstrap: 50}`
    const out = path.join(directory, 'out')
    const answered: string[] = []
    const onEvent = (event: { kind: string; progress?: object }) => {
      if (event.kind === 'answering') answered.push((event.progress as { task: string }).task)
    }
    const results = await study(recipe(tasks), { directory: out, onEvent })
    for (const { tasks: scores = [] } of results.runs) {
      expect(scores.map(({ task, metric, questions }) => [task, metric, questions])).toEqual([
        ['mine', 'acc,none', 6],
        ['mine', 'acc_norm,none', 6],
        ['mine', 'acc_bytes,none', 6],
        ['piqa', 'acc,none', 6],
        ['piqa', 'acc_norm,none', 6],
        ['piqa', 'acc_bytes,none', 6],
      ])
      for (const { value, interval } of scores) {
        expect(value * 6).toBeCloseTo(Math.round(value * 6), 9)
        expect(interval?.low).toBeLessThanOrEqual(value)
        expect(interval?.high).toBeGreaterThanOrEqual(value)
      }
    }
    // Without a run of SiLU that switches nothing the first is the baseline; here it is both.
    const [silu, relu] = results.runs.map(({ tasks = [] }) => tasks)
    expect(silu.some(score => 'difference' in score)).toBe(false)
    for (const [i, { value, difference }] of relu.entries()) {
      expect(difference?.value).toBeCloseTo(value - silu[i].value, 12)
      expect(difference?.interval?.low).toBeLessThanOrEqual(difference?.value ?? Number.NaN)
      expect(difference?.interval?.high).toBeGreaterThanOrEqual(difference?.value ?? Number.NaN)
    }
    expect(relu).toHaveLength(6)
    expect(JSON.stringify(results)).not.toContain('resampled')
    expect(fs.readFileSync(path.join(out, 'results.md'), 'utf8')).toMatch(/piqa: acc vs SiLU \|/)
    expect(new Set(answered)).toEqual(new Set(['mine', 'piqa', '']))
    const log =
      fs.readdirSync(path.join(out, 'silu/tasks')).find(name => name.startsWith('samples_mine')) ?? ''
    expect(
      fs
        .readFileSync(path.join(out, 'silu/tasks', log), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(6)

    // Asked once: what is finished is read from its result.
    answered.length = 0
    const again = await study(recipe(tasks), { directory: out, onEvent })
    expect(answered).toEqual([])
    expect(again.runs.map(run => run.tasks)).toEqual(results.runs.map(run => run.tasks))
  })

  it.each([
    ['{names: [piqua], data: x}', 'bytes', /no task "piqua"\. Did you mean "piqa"\?/],
    ['{names: [boolq], data: DIR}', 'bytes', /boolq needs boolq_val\.jsonl/],
    ['{names: [piqa]}', 'bytes', /piqa needs its rows: give --data DIR/],
    [
      '{names: [humaneval], data: DIR}',
      'bytes',
      /humaneval runs programs that the model writes, which a study does not/,
    ],
    ['{names: [piqa], data: DIR}', 'chars', /the character "Q" .* is not in its vocabulary/],
    ['{names: [blimp_wh_island], data: DIR}', 'chars', /tokenizer chars .* an empty prompt needs one/],
    ['{names: [piqa], data: DIR, shots: 9}', 'bytes', /piqa needs for its few-shot examples piqa_train/],
  ])('%s is refused before anything is trained', async (tasks, tokenizer, message) => {
    const steps: number[] = []
    const running = study(recipe(tasks.replace('DIR', directory), tokenizer), {
      directory: path.join(directory, 'refused'),
      onEvent: event => void (event.kind === 'step' && steps.push(1)),
    })
    await expect(running).rejects.toThrow(message)
    expect(steps).toEqual([])
    expect(fs.existsSync(path.join(directory, 'refused'))).toBe(false)
  })

  it('have options with names', () => {
    expect(() => recipe('{names: []}')).toThrow(/tasks\.names/)
    expect(() => recipe('{names: [piqa], dta: x}')).toThrow(/tasks\.dta: unknown key\. Did you mean "data"\?/)
  })
})

function score(
  task: string,
  value: number,
  low: number,
  high: number,
  more: Partial<TaskScore> = {},
): TaskScore {
  return {
    ...{ task, version: 1, shots: 0, questions: 10, inGroup: false, metric: 'acc,none', value },
    ...{ standardError: 0.1, interval: { low, high }, ...more },
  }
}

it('of several seeds are means, with an interval from the lowest to the highest end', () => {
  expect(meanTaskScores([[score('a', 0.4, 0.3, 0.5)], [score('a', 0.6, 0.45, 0.8)]])).toEqual([
    { ...score('a', 0.5, 0.3, 0.8), value: expect.closeTo(0.5, 12), standardError: null },
  ])
  expect(meanTaskScores([[score('a', 0.4, 0.3, 0.5)]])).toEqual([score('a', 0.4, 0.3, 0.5)])
})

describe('differences to the baseline', () => {
  const [silu, relu] = madeResults().runs
  const run = (of: typeof silu, value: number, resampled?: number[]) => ({
    ...of,
    tasks: [score('a', value, 0, 1, { ...(resampled && { resampled }) })],
  })

  it('are paired by resampling, with their own error and interval', () => {
    const runs = [run(silu, 0.4, [0.2, 0.4]), run(relu, 0.5, [0.5, 0.4])]
    const [first, second] = withTaskDifferences(
      runs,
      runs.map(one => [one]),
    )
    expect(first.tasks).toEqual([score('a', 0.4, 0, 1)])
    // Differences 0.3 and 0: their deviation, and their quantiles of 2.5 and 97.5 %.
    expect(second.tasks?.[0]).not.toHaveProperty('resampled')
    expect(second.tasks?.[0].difference).toEqual({
      value: expect.closeTo(0.1, 12),
      standardError: expect.closeTo(0.3 / Math.SQRT2, 12),
      interval: { low: expect.closeTo(0.3 * 0.025, 12), high: expect.closeTo(0.3 * 0.975, 12) },
    })
  })

  it('over seeds are means, from the lowest to the highest end', () => {
    const seeds = [
      [run(silu, 0.4, [0.4, 0.4]), run(silu, 0.2, [0.2, 0.2])],
      [run(relu, 0.5, [0.5, 0.5]), run(relu, 0.5, [0.5, 0.5])],
    ]
    const [, second] = withTaskDifferences([run(silu, 0.3), run(relu, 0.5)], seeds)
    expect(second.tasks?.[0].difference).toEqual({
      value: expect.closeTo(0.2, 12),
      standardError: null,
      interval: { low: expect.closeTo(0.1, 12), high: expect.closeTo(0.3, 12) },
    })
  })

  it('are left out where an earlier version has stored no resamplings', () => {
    const runs = [run(silu, 0.4), run(relu, 0.5, [0.5, 0.4])]
    const [, second] = withTaskDifferences(
      runs,
      runs.map(one => [one]),
    )
    expect(second.tasks).toEqual([score('a', 0.5, 0, 1)])
  })
})

it('reports have a column for each task and metric; groups stand for their tasks', () => {
  const made = madeResults()
  const tasks = [
    score('blimp', 0.61234, 0.6, 0.63),
    score('blimp_wh_island', 0.3, 0.2, 0.4, { inGroup: true }),
    score('piqa', 0.52, 0.5, 0.54, { metric: 'acc_norm,none' }),
    score('piqa', 0.53, 0.5, 0.54, { metric: 'acc_bytes,none' }),
  ]
  const difference = { value: -0.01, standardError: 0.01, interval: { low: -0.03, high: 0.005 } }
  const others = tasks.map(one => (one.metric === 'acc,none' && !one.inGroup ? { ...one, difference } : one))
  const results = {
    ...made,
    runs: made.runs.map((run, i) => (i < 2 ? { ...run, tasks: i === 0 ? tasks : others } : run)),
  }
  const markdown = renderMarkdown(results)
  const [section] = markdown.split('## Benchmarks')[1].split('## Decoding')
  expect(section).toMatch(/\| run \| blimp: acc \| blimp: acc vs SiLU \| piqa: acc\\_norm \|/)
  expect(section).toContain('| SiLU | 0.612 (0.600 to 0.630) | – | 0.520 (0.500 to 0.540) |')
  expect(section).toContain(
    '| ReLU | 0.612 (0.600 to 0.630) | −0.010 (−0.030 to +0.005) | 0.520 (0.500 to 0.540) |',
  )
  expect(section).not.toMatch(/wh|bytes/)
  expect(renderMarkdown(made)).not.toContain('Benchmarks')
  for (const text of [renderTable(results), renderStudyPage(results)])
    expect(text).toContain('0.612 (0.600 to 0.630)')
})
