// `--data hub`: tables of the Hub, from a server on localhost with the Hub's paths, become the questions that files give.

import fs from 'node:fs'
import path from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { HubData } from '../../src/eval/hub-rows.js'
import { questionsOf, requestsOf } from '../../src/eval/questions.js'
import type { Task } from '../../src/eval/task.js'
import { readTaskFile } from '../../src/eval/task-file.js'
import { findTask, isGroup } from '../../src/eval/tasks/index.js'
import { writeCheckpoint } from '../../src/formats/huggingface/index.js'
import type { HubSettings } from '../../src/hub/index.js'
import { flickerHere } from '../cli/in-process.js'
import { contentOf, temporaryDirectory, tinyConfig } from '../formats/tiny-model.js'
import { COMMIT, type HubServer, startHub } from '../hub/hub-server.js'

type Columns = Parameters<typeof parquetWriteBuffer>[0]

/** A table in two row groups. */
function parquet(table: Columns): Buffer {
  return Buffer.from(parquetWriteBuffer({ ...table, rowGroupSize: 2 }))
}

const strings = (name: string, data: string[]) => ({ name, data, type: 'STRING' as const })
const questions = ['What melts?', 'What burns?', 'What flies?']
/** As ARC has them: a structure of two lists. */
const arc = parquet({
  columnData: [
    { name: 'question', data: questions },
    {
      name: 'choices',
      data: questions.map((_, i) => ({ text: ['ice', `wood ${i}`], label: ['A', 'B'] })),
    },
    { name: 'answerKey', data: ['A', 'B', 'B'] },
  ],
  schema: [
    { name: 'root', num_children: 3 },
    { name: 'question', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
    { name: 'choices', num_children: 2, repetition_type: 'OPTIONAL' },
    { name: 'text', num_children: 1, converted_type: 'LIST', repetition_type: 'OPTIONAL' },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    { name: 'element', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
    { name: 'label', num_children: 1, converted_type: 'LIST', repetition_type: 'OPTIONAL' },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    { name: 'element', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
    { name: 'answerKey', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
  ],
})
/** As PIQA has them: labels of 64 bits. */
const piqa = (goals: string[]) =>
  parquet({
    columnData: [
      strings('goal', goals),
      strings(
        'sol1',
        goals.map(goal => `do ${goal}`),
      ),
      strings(
        'sol2',
        goals.map(goal => `undo ${goal}`),
      ),
      { name: 'label', data: goals.map((_, i) => BigInt(i % 2)), type: 'INT64' },
    ],
  })
const goals = ['dry', 'wet', 'cook', 'cool', 'sew']
const files = new Map([
  ['ARC-Easy/test/0000.parquet', arc],
  ['ARC-Easy/train/0000.parquet', arc],
  // Two files of one split, in the order of their names.
  ['default/validation/0001.parquet', piqa(goals.slice(3))],
  ['default/validation/0000.parquet', piqa(goals.slice(0, 3))],
  ['default/train/0000.parquet', piqa(goals)],
])

const work = temporaryDirectory()
let hub: HubServer
let settings: HubSettings
let number = 0
beforeAll(async () => {
  hub = await startHub(files)
})
afterAll(async () => {
  await hub.close()
  fs.rmSync(work, { recursive: true })
})
beforeEach(() => {
  for (const key of Object.keys(hub.faults)) delete hub.faults[key as keyof typeof hub.faults]
  hub.fileRequests.length = 0
  settings = { endpoint: hub.endpoint, cache: path.join(work, String(number++)), token: null, offline: false }
})

function task(name: string): Task {
  const found = findTask(name)
  if (isGroup(found)) throw new Error(`${name} is a group`)
  return found
}
const load = (names: string[], options = {}) =>
  HubData.load(names.map(task), settings, { retryDelay: 1, ...options })

describe('a task', () => {
  it('has the rows of its split, nested ones too, named by data set and commit', async () => {
    const data = await load(['arc_easy'])
    const { file, rows } = await data.rows(task('arc_easy'))
    expect(file).toBe(`allenai/ai2_arc/ARC-Easy/test@${COMMIT.slice(0, 12)}`)
    expect([...rows].map(({ line }) => line)).toEqual([1, 2, 3])
    const asked = await questionsOf(task('arc_easy'), data, {})
    expect(requestsOf(asked, 1).map(({ prompt, continuation }) => [prompt, continuation])).toEqual([
      ['Question: What burns?\nAnswer:', ' ice'],
      ['Question: What burns?\nAnswer:', ' wood 1'],
    ])
  })

  it('has all files of its split in order, and examples from their own split', async () => {
    const piqa = task('piqa')
    const asked = await questionsOf(piqa, await load(['piqa'], { shots: 1 }), { shots: 1 })
    expect([...asked.rows].map(({ row }) => piqa.prompt(row))).toEqual(
      goals.map(goal => `Question: ${goal}\nAnswer:`),
    )
    expect([...asked.rows].map(({ row }) => piqa.answer(row))).toEqual([
      'do dry',
      'undo wet',
      'do cook',
      // Labels of the second file.
      'do cool',
      'undo sew',
    ])
    expect(asked.rows).toHaveLength(5)
    for (let i = 0; i < 5; i++) {
      const text = asked.before.at(i)
      expect(text).toMatch(/^Question: \w+\nAnswer: (un)?do \w+\n\n$/)
      expect(text).not.toContain(goals[i])
    }
  })

  it('is downloaded once, and without a connection taken from the cache', async () => {
    await load(['piqa'])
    const bodies = () => hub.fileRequests.filter(({ range }) => range !== 'bytes=0-0').length
    const fetched = bodies()
    expect(fetched).toBeGreaterThan(0)
    await load(['piqa'])
    expect(bodies()).toBe(fetched)
    const snapshot = path.join(settings.cache, 'datasets--baber--piqa', 'snapshots', COMMIT)
    expect(fs.readdirSync(path.join(snapshot, 'default/validation'))).toEqual([
      '0000.parquet',
      '0001.parquet',
    ])
    settings = { ...settings, offline: true }
    expect((await (await load(['piqa'])).rows(task('piqa'))).rows).toHaveLength(5)
  })

  it('of a private data set is asked for with the token', async () => {
    hub.faults.token = 'secret'
    await expect(load(['piqa'])).rejects.toMatchObject({ code: 'HUB_UNAUTHORIZED' })
    settings = { ...settings, token: 'secret' }
    expect((await (await load(['piqa'])).rows(task('piqa'))).rows).toHaveLength(5)
  })

  it('of a file of yours needs no table', async () => {
    const file = path.join(work, 'mine.jsonl')
    fs.writeFileSync(file, '{"question": "Sky?", "choices": ["blue", "green"], "gold": 0}\n')
    const own = readTaskFile(file)
    const data = await HubData.load([own], settings)
    expect((await data.rows(own)).rows).toHaveLength(1)
    expect(hub.fileRequests).toEqual([])
  })
})

describe('is refused:', () => {
  it('a split that is not there, with the nearest', async () => {
    await expect(load(['openbookqa'])).rejects.toMatchObject({ code: 'DATASET_SPLIT_MISSING' })
    await expect(load(['openbookqa'])).rejects.toThrow(
      /allenai\/openbookqa has no main\/test\..*It has ARC-Easy\/test, ARC-Easy\/train, default\//,
    )
  })

  it('a row that is not as the task needs it, by data set and row', async () => {
    const wrong = parquet({ columnData: [strings('goal', ['a']), strings('sol1', ['b'])] })
    const other = await startHub(new Map([['default/validation/0000.parquet', wrong]]))
    try {
      settings = { ...settings, endpoint: other.endpoint }
      const data = await load(['piqa'])
      await expect(data.rows(task('piqa'))).rejects.toThrow(
        /^baber\/piqa\/default\/validation@0123456789ab:1: sol2: is missing/,
      )
    } finally {
      await other.close()
    }
  })

  it('what is no Parquet', async () => {
    const other = await startHub(new Map([['default/validation/0000.parquet', Buffer.from('not a table')]]))
    try {
      settings = { ...settings, endpoint: other.endpoint }
      await expect(load(['piqa'])).rejects.toMatchObject({ code: 'TASK_DATA_UNREADABLE' })
    } finally {
      await other.close()
    }
  })

  it('a task that the Hub does not have', async () => {
    await expect(load(['humaneval_js'])).rejects.toThrow(
      /humaneval_js is not on the Hub as a table; give --data DIR/,
    )
  })
})

it('flicker eval --data hub reads HF_ENDPOINT and HF_HOME', async () => {
  const tokenizer = bytesTokenizer()
  const model = path.join(work, 'model')
  writeCheckpoint(
    model,
    contentOf({ ...tinyConfig, vocabSize: tokenizer.vocabSize }, { tokenizer: tokenizer.toJSON() }),
  )
  vi.stubEnv('HF_ENDPOINT', hub.endpoint)
  vi.stubEnv('HF_HOME', path.join(work, 'home'))
  try {
    const { code, stdout, stderr } = await flickerHere([
      ...['eval', '--model', model, '--tasks', 'piqa,arc_easy', '--data', 'hub', '--bootstrap', '20'],
      ...['--out', path.join(work, 'out'), '--json'],
    ])
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('downloading')
    expect(JSON.parse(stdout)).toMatchObject({
      results: {
        piqa: { 'acc,none': expect.any(Number) },
        arc_easy: { 'acc_norm,none': expect.any(Number) },
      },
      'n-samples': { piqa: { original: 5, effective: 5 } },
      configs: { piqa: { dataset_file: 'baber/piqa/default/validation@0123456789ab' } },
    })
    expect(fs.existsSync(path.join(work, 'home/hub/datasets--baber--piqa'))).toBe(true)
  } finally {
    vi.unstubAllEnvs()
  }
})
