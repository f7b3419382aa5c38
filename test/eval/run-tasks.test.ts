// Tasks from rows to results: by hand on a model of known likelihoods, interrupted and resumed, truncated, compared.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, LanguageModel } from '../../src/engine/index.js'
import { CODE_LIMITS } from '../../src/eval/code/limits.js'
import { TaskData } from '../../src/eval/rows.js'
import { type RunTasksOptions, runTasks } from '../../src/eval/run-tasks.js'
import { harnessResults, namedScores, tasksOf } from '../../src/eval/task-results.js'
import { findTask, withMutualInfo } from '../../src/eval/tasks/index.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { writeRows } from './task-fixtures.js'

const work = temporaryDirectory()
afterAll(() => fs.rmSync(work, { recursive: true }))
const data = path.join(work, 'data')
const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: 160 }
const model = new LanguageModel(new EngineModel(config, tensorOf(randomTensors(config, 4))), tokenizer)

const names = ['piqa', 'winogrande', 'lambada_openai', 'wikitext', 'nq_open', 'blimp_wh_island']
const asked = names.map(findTask)

beforeAll(() => {
  const many = <T>(count: number, row: (i: number) => T) => Array.from({ length: count }, (_, i) => row(i))
  writeRows(
    data,
    'piqa_val',
    many(30, i => ({ goal: `goal ${i}`, sol1: `way ${i}`, sol2: `é ${7 * i} off`, label: i % 2 })),
  )
  writeRows(
    data,
    'winogrande_val',
    many(9, i => ({ sentence: `As ${i} _ ran.`, option1: 'Al', option2: 'Beth', answer: '1' })),
  )
  writeRows(
    data,
    'lambada_openai_test',
    many(8, i => ({ context: `word ${i} and`, continuation: 'then' })),
  )
  // Longer than the context: three windows.
  writeRows(data, 'wikitext_test', [{ page: ' = A = \n one two three' }, { page: 'b c '.repeat(90) }])
  writeRows(
    data,
    'nq_open_val',
    many(20, i => ({ question: `what is ${i}`, answer: ['it'] })),
  )
  writeRows(
    data,
    'blimp',
    many(6, i => ({ UID: 'wh_island', good: `Who ran ${i}?`, bad: `Ran who ${i}?` })),
  )
})

function options(directory: string, more: Partial<RunTasksOptions> = {}): RunTasksOptions {
  const base = { data: new TaskData(data), seed: 1, bootstrap: 50, settings: { model: 'x' } }
  return { ...base, directory: path.join(work, directory), ...more }
}

async function run(directory: string, more: Partial<RunTasksOptions> = {}) {
  const results = await runTasks(model, tasksOf(asked), options(directory, more))
  const config = { model: 'm', modelArgs: {}, limit: null, bootstrap: 50, seed: 1, context: 160 }
  return { results, json: JSON.stringify(harnessResults(asked, results, config)) }
}

/** log P of `continuation` after `prompt`, nats, byte by byte from the logits of all. */
function nats(prompt: string, continuation: string): number {
  const bytes = (text: string) => [...Buffer.from(text)]
  const before = prompt === '' ? [256] : bytes(prompt)
  const tokens = [...before, ...bytes(continuation)]
  const logits = model.logits(tokens.slice(0, -1))
  let total = 0
  for (let at = before.length; at < tokens.length; at++) {
    const row = Array.from(logits.subarray((at - 1) * 257, at * 257))
    total += row[tokens[at]] - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0))
  }
  return total
}

function samplesOf(directory: string, task: string): Record<string, never>[] {
  const name =
    fs.readdirSync(path.join(work, directory)).find(file => file.startsWith(`samples_${task}_`)) ?? ''
  const text = fs.readFileSync(path.join(work, directory, name), 'utf8')
  return text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
}

describe('what is logged of each question', () => {
  beforeAll(async () => {
    await run('logged')
  })

  it('choices: their likelihoods, and accuracy by sum, per character and per byte', () => {
    const samples = samplesOf('logged', 'piqa')
    expect(samples).toHaveLength(30)
    let differing = 0
    for (const [i, sample] of samples.entries()) {
      const choices = [`way ${i}`, `é ${7 * i} off`]
      const expected = choices.map(choice => nats(`Question: goal ${i}\nAnswer:`, ` ${choice}`))
      const logged: number[] = sample.loglikelihoods
      for (const [c, value] of expected.entries()) expect(Math.abs(logged[c] - value)).toBeLessThan(1e-5)
      const right = (lengths: number[]) => {
        const [first, second] = expected.map((value, c) => value / lengths[c])
        return (second > first ? 1 : 0) === i % 2 ? 1 : 0
      }
      const values = {
        acc: right([1, 1]),
        acc_norm: right(choices.map(choice => Array.from(choice).length)),
        acc_bytes: right(choices.map(choice => Buffer.byteLength(choice))),
      }
      expect(sample).toMatchObject({ doc_id: i, line: i + 1, target: i % 2, values })
      if (values.acc !== values.acc_norm) differing++
    }
    // The three are not one measure.
    expect(differing).toBeGreaterThan(0)
  })

  it('the same continuation after two contexts', () => {
    for (const [i, { loglikelihoods }] of samplesOf('logged', 'winogrande').entries()) {
      const logged: number[] = loglikelihoods
      const expected = ['Al', 'Beth'].map(name => nats(`As ${i} ${name}`, ' ran.'))
      for (const [c, value] of expected.entries()) expect(Math.abs(logged[c] - value)).toBeLessThan(1e-5)
    }
  })

  it('an empty prompt: after the token that ends a text, as this tokenizer has none that starts one', () => {
    for (const [i, { loglikelihoods }] of samplesOf('logged', 'blimp_wh_island').entries()) {
      const [good]: number[] = loglikelihoods
      expect(Math.abs(good - nats('', ` Who ran ${i}?`))).toBeLessThan(1e-5)
    }
  })

  it('documents: likelihood in windows, words and bytes of the page as it was', () => {
    const [short, long] = samplesOf('logged', 'wikitext').map(
      ({ values }) => values as Record<string, number>,
    )
    // As Python's re.split(r"\s+"): the space at the beginning makes an empty word.
    expect(short).toMatchObject({ words: 7, bytes: 22 })
    expect(Math.abs(short.loglikelihood - nats('', '= A =\none two three'.replace(/^/, ' ')))).toBeLessThan(
      1e-5,
    )
    expect(long).toMatchObject({ words: 181, bytes: 360 })
  })

  it('texts, and their score', () => {
    const samples = samplesOf('logged', 'nq_open')
    expect(samples).toHaveLength(20)
    for (const { text, values } of samples) {
      expect(text).toEqual(expect.any(String))
      expect(text).not.toMatch(/[\n.,]/)
      expect(values).toEqual({ 'exact_match,remove_whitespace': expect.any(Number) })
    }
  })
})

describe('an evaluation that is interrupted', () => {
  it('gives the same JSON when it is resumed, after any batch and in the middle of a line', async () => {
    const whole = await run('whole')
    const calls: number[] = []
    let stops = 0
    for (let finished = false; !finished; stops++) {
      const controller = new AbortController()
      const onProgress = ({ done }: { done: number }) => {
        calls.push(done)
        // One batch of each session is kept.
        if (calls.filter(call => call === done).length === 1 && calls.length > 1) controller.abort()
      }
      try {
        const resumed = await run('parts', { signal: controller.signal, onProgress })
        expect(resumed.json).toBe(whole.json)
        finished = true
      } catch (error) {
        expect((error as { code?: string }).code).toBe('INTERRUPTED')
        // What a process that is killed while it writes leaves.
        const [log] = fs.readdirSync(path.join(work, 'parts'))
        fs.appendFileSync(path.join(work, 'parts', log), '{"doc_id": 99, "li')
      }
    }
    expect(stops).toBeGreaterThan(4)
  })

  it('asks nothing again, and asks again what was answered with other settings', async () => {
    const asked: number[] = []
    const counting = (directory: string, more: Partial<RunTasksOptions>) =>
      run(directory, { ...more, onProgress: ({ done, found }) => asked.push(done - found) })
    await counting('whole', {})
    expect(asked).toEqual([0])
    asked.length = 0
    await counting('whole', { settings: { model: 'y' } })
    expect(asked.at(-1)).toBe(75)
  })

  it('takes the first questions from the log of more', async () => {
    const { results } = await run('whole', { limit: 5 })
    expect(results.map(({ questions, available }) => [questions, available])).toEqual([
      [5, 30],
      [5, 9],
      [5, 8],
      [2, 2],
      [5, 20],
      [5, 6],
    ])
  })
})

it('a question that is longer than the context is cut at its beginning, counted and reported', async () => {
  const { results } = await run('cut', { context: 24 })
  const [piqa] = results
  // "Question: goal 10⏎Answer:" has 25 bytes; with " way 10" 32, of which 24 are read and one more is scored.
  const lengths = Array.from({ length: 30 }, (_, i) => {
    const prompt = `Question: goal ${i}\nAnswer:`
    const total = (choice: string) => Math.max(0, Buffer.byteLength(`${prompt} ${choice}`) - 25)
    return total(`way ${i}`) + total(`é ${7 * i} off`)
  })
  expect(piqa.truncated).toEqual({
    questions: lengths.filter(length => length > 0).length,
    tokens: lengths.reduce((a, b) => a + b),
  })
  expect(piqa.truncated.questions).toBe(30)
})

it('a generated answer has the room that the context leaves, and its prompt is cut for it', async () => {
  const { results } = await run('room', { context: 24, limit: 2 })
  // 12 tokens for the answer, 12 of the prompt of "Answer these questions:⏎⏎Q: what is 0?⏎A:" (41 bytes).
  expect(results[4].truncated).toEqual({ questions: 2, tokens: 58 })
})

describe('programs', () => {
  const row = (task_id: string) => ({ task_id, prompt: `def f${task_id}():`, test: 'pass', entry_point: 'f' })
  const rows = Array.from({ length: 3 }, (_, i) => row(String(i)))
  beforeAll(() => void writeRows(data, 'humaneval', rows))

  /** Says of programs in order whether they pass. */
  const runner = (passes: (index: number) => boolean, seen: string[] = []) => ({
    limits: CODE_LIMITS,
    runAll: async (_: string, sources: readonly string[]) => {
      const outcomes = sources.map((_, i) => (passes(seen.length + i) ? 'passed' : 'failed: x'))
      seen.push(...sources)
      return outcomes
    },
  })

  it('of greedy answers are run whole, and pass@1 is the fraction that passes', async () => {
    const seen: string[] = []
    const task = findTask('humaneval')
    const code = runner(index => index === 1, seen)
    const results = await runTasks(model, tasksOf([task]), options('greedy-code', { code }))
    expect(results[0].scores[0]).toMatchObject({ metric: 'pass@1,create_test', value: 1 / 3 })
    const samples = samplesOf('greedy-code', 'humaneval') as unknown as { text: string; outcomes: string[] }[]
    expect(samples.map(({ outcomes }) => outcomes)).toEqual([['failed: x'], ['passed'], ['failed: x']])
    expect(seen).toEqual(samples.map(({ text }, i) => `def f${i}():${text}\npass\ncheck(f)`))
  })

  it('that are drawn: pass@k without bias, from all of them', async () => {
    const seen: string[] = []
    const task = findTask('humaneval_64')
    // Of 64 programs each 3, 0 and 64 pass.
    const code = runner(index => (index < 64 ? index < 3 : index >= 128), seen)
    const [{ scores }] = await runTasks(model, tasksOf([task]), options('drawn-code', { code, context: 40 }))
    expect(new Set(seen.slice(0, 64)).size).toBeGreaterThan(1)
    // 1 − C(61, k) / C(64, k) as a product: (1 − k/62)(1 − k/63)(1 − k/64).
    for (const [i, k] of [2, 8, 16, 32, 64].entries()) {
      const first = 1 - Math.max(0, 1 - k / 62) * Math.max(0, 1 - k / 63) * Math.max(0, 1 - k / 64)
      expect(scores[i].metric).toBe(`pass@${k},create_test`)
      expect(scores[i].value).toBeCloseTo((first + 0 + 1) / 3, 12)
    }
  })

  it('are refused where nothing may run them, before anything is asked', async () => {
    const asked = runTasks(model, tasksOf([findTask('humaneval')]), options('refused'))
    await expect(asked).rejects.toMatchObject({ code: 'CODE_EXECUTION' })
    await expect(asked).rejects.toThrow(/humaneval runs programs .*--allow-code-execution/)
  })
})

it('acc_mutual_info takes off the likelihood of the choice after an empty prompt', async () => {
  const task = withMutualInfo(findTask('piqa'))
  await runTasks(model, tasksOf([task]), options('mutual'))
  const samples = samplesOf('mutual', 'piqa')
  let differing = 0
  for (const [i, { values, loglikelihoods, unconditional }] of samples.entries()) {
    const choices = [` way ${i}`, ` é ${7 * i} off`]
    const expected = choices.map(choice => nats(`Question: goal ${i}\nAnswer:`, choice) - nats('', choice))
    const logged: number[] = loglikelihoods
    for (const [c, value] of expected.entries()) {
      expect(Math.abs(logged[c] - unconditional[c] - value)).toBeLessThan(1e-5)
    }
    const right = (expected[1] > expected[0] ? 1 : 0) === i % 2 ? 1 : 0
    expect(values).toMatchObject({ acc: expect.any(Number), acc_mutual_info: right })
    if (right !== (values as { acc: number }).acc) differing++
  }
  expect(samples).toHaveLength(30)
  expect(differing).toBeGreaterThan(0)
})

it('results have the layout of the harness', async () => {
  const { json, results } = await run('whole')
  const parsed = JSON.parse(json)
  expect(parsed).toMatchObject({
    results: {
      piqa: { alias: 'piqa', 'acc,none': results[0].scores[0].value, 'acc_stderr,none': expect.any(Number) },
      lambada_openai: { 'perplexity,none': expect.any(Number), 'acc,none': expect.any(Number) },
      wikitext: { 'word_perplexity,none': expect.any(Number), 'bits_per_byte,none': expect.any(Number) },
      nq_open: { 'exact_match,remove_whitespace': expect.any(Number) },
    },
    versions: { piqa: 1, wikitext: 2, nq_open: 4 },
    'n-shot': { piqa: 0 },
    'n-samples': { piqa: { original: 30, effective: 30 } },
    higher_is_better: { piqa: { acc: true }, wikitext: { word_perplexity: false } },
    configs: { piqa: { output_type: 'multiple_choice', dataset_file: 'piqa_val.jsonl', num_fewshot: 0 } },
  })
})

it('a group stands before its tasks, with their mean', async () => {
  const group = findTask('blimp')
  const row = (UID: string, i: number) => ({ UID, good: `Who ${i} ran?`, bad: `Ran ${i} who?` })
  const uids = tasksOf([group]).map(({ name }) => name.replace('blimp_', ''))
  writeRows(
    path.join(work, 'all'),
    'blimp',
    uids.flatMap(uid => [row(uid, 1), row(uid, 2)]),
  )
  const results = await runTasks(
    model,
    tasksOf([group]),
    options('group', { data: new TaskData(path.join(work, 'all')) }),
  )
  const [mean, ...tasks] = namedScores([group], results)
  expect(mean).toMatchObject({ name: 'blimp', questions: 134, shots: 0, inGroup: false })
  expect(tasks).toHaveLength(67)
  const values = tasks.map(({ scores }) => scores[0].value)
  expect(mean.scores[0].value).toBeCloseTo(values.reduce((a, b) => a + b) / 67, 12)
})
