// Rows are read when they are needed: few of them are in memory at a time, and they are the rows of the file.

import fs from 'node:fs'
import path from 'node:path'
import { queryObjects } from 'node:v8'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, LanguageModel } from '../../src/engine/index.js'
import { LineFile } from '../../src/eval/line-file.js'
import { Recent } from '../../src/eval/recent.js'
import { TaskData } from '../../src/eval/rows.js'
import { runTasks } from '../../src/eval/run-tasks.js'
import { defineTask, type Task } from '../../src/eval/task.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const work = temporaryDirectory()
afterAll(() => fs.rmSync(work, { recursive: true }))

/** A class, so that the objects of it that are in memory can be counted. */
class Row {
  static made = 0
  constructor(
    readonly question: string,
    readonly part: string,
  ) {
    Row.made++
  }
}

function countedTask(shots: number): Task {
  return defineTask<Row>({
    ...{ name: 'counted', version: 1, about: '', output: 'multiple_choice', metrics: ['acc'] },
    files: ['counted'],
    row: z
      .object({ question: z.string(), part: z.string() })
      .transform(({ question, part }) => new Row(question, part)),
    part: { of: ({ part }) => part, is: 'mine' },
    shots: { count: shots, rule: 'random' },
    prompt: ({ question }) => question,
    choices: () => ['a', 'b'],
    gold: () => 0,
    answer: () => 'a',
  })
}

const ROWS = 1500
const lines = Array.from({ length: ROWS }, (_, i) =>
  JSON.stringify({ question: `q ${i}`, part: i % 3 === 0 ? 'other' : 'mine' }),
)

describe('an evaluation of many rows', () => {
  const tokenizer = bytesTokenizer()
  const config = { ...smallConfig, vocabSize: tokenizer.vocabSize }
  const model = new LanguageModel(new EngineModel(config, tensorOf(randomTensors(config, 4))), tokenizer)

  it.each([
    [0, ROWS],
    [2, 300],
  ])('has few of them in memory at any time, with %i examples each', async (shots, limit) => {
    fs.writeFileSync(path.join(work, 'counted.jsonl'), lines.join('\n'))
    const living: number[] = []
    let calls = 0
    const data = new TaskData(work)
    Row.made = 0
    const [{ questions }] = await runTasks(model, [countedTask(shots)], {
      ...{ data, limit, seed: 1, bootstrap: 0, settings: {}, directory: path.join(work, `out-${shots}`) },
      onProgress: () => {
        // Counting collects garbage: not at every batch.
        if (calls++ % 2 === 1) living.push(queryObjects(Row, { format: 'count' }))
      },
    })
    data.close()
    expect(questions).toBe(Math.min(limit, ROWS - ROWS / 3))
    expect(living.length).toBeGreaterThan(1)
    // What the table keeps, and little more.
    expect(Math.min(...living)).toBeGreaterThan(0)
    expect(Math.max(...living)).toBeLessThan(300)
    // Checked, put into parts, and checked as questions before the first batch.
    expect(Row.made).toBeGreaterThan(2 * ROWS + questions)
  })
})

describe('lines', () => {
  // Characters of two and three bytes across the blocks that are read at a time, lines longer than a block.
  const texts = Array.from({ length: 400 }, (_, i) => `${i}: ${'é€x'.repeat((i * 37) % 400)}`)
  texts[7] = 'long '.repeat(50_000)
  const text = `${texts.slice(0, 200).join('\n')}\n\n \t\r\n${texts.slice(200).join('\r\n')}`
  /** Line numbers after the two blank lines are two higher. */
  const expected = texts.map((line, i) => ({
    text: i < 200 || i === 399 ? line : `${line}\r`,
    number: i < 200 ? i + 1 : i + 3,
  }))

  it.each(['plain', 'plain.gz'])('of a file are those that splitting gives, in any order: %s', async name => {
    const file = path.join(work, name)
    fs.writeFileSync(file, name.endsWith('.gz') ? gzipSync(text) : text)
    const opened = await LineFile.open(file)
    expect(opened.length).toBe(400)
    for (const index of [399, 0, 7, 200, 8, 6]) expect(opened.at(index)).toEqual(expected[index])
    expect(Array.from({ length: 400 }, (_, i) => opened.at(i))).toEqual(expected)
    opened.close()
  })

  it('that come from elsewhere are the same', async () => {
    async function* made() {
      yield* texts
    }
    const opened = await LineFile.of(made(), 'made')
    expect(Array.from({ length: 400 }, (_, i) => opened.at(i).text)).toEqual(texts)
    opened.close()
  })

  it('begin after a byte order mark', async () => {
    const file = path.join(work, 'mark')
    fs.writeFileSync(file, '\uFEFF{"a": 1}\n{"b": 2}')
    const opened = await LineFile.open(file)
    expect([opened.at(0).text, opened.at(1).text]).toEqual(['{"a": 1}', '{"b": 2}'])
    opened.close()
  })

  it.each([
    ['a NUL byte', Buffer.from('{}\n{"a": "\0"}'), /nul is not text: it has a NUL byte at offset 10/],
    ['no UTF-8', Buffer.from([0x7b, 0x7d, 0x0a, 0xff]), /nul is not text: it is not valid UTF-8/],
  ])('%s is refused', async (_, bytes, message) => {
    const file = path.join(work, 'nul')
    fs.writeFileSync(file, bytes)
    await expect(LineFile.open(file)).rejects.toThrow(message)
  })

  it('a broken gzip file is refused, and leaves nothing behind', async () => {
    const file = path.join(work, 'broken.gz')
    const whole = gzipSync(text)
    fs.writeFileSync(file, whole.subarray(0, whole.length - 20))
    await expect(LineFile.open(file)).rejects.toThrow(
      /broken\.gz is not an intact gzip file \(unexpected end/,
    )
    fs.writeFileSync(file, 'no gzip')
    await expect(LineFile.open(file)).rejects.toThrow(
      /broken\.gz is not an intact gzip file \(incorrect header/,
    )
  })

  it('no file, and what is none', async () => {
    await expect(LineFile.open(path.join(work, 'none'))).rejects.toThrow(/none does not exist/)
    await expect(LineFile.open(work)).rejects.toThrow(/is a directory, not a regular file/)
  })
})

it('what was used last is kept', () => {
  const made: string[] = []
  const recent = new Recent<string, string>(2)
  const get = (key: string) =>
    recent.get(key, key => {
      made.push(key)
      return key.toUpperCase()
    })
  expect(['a', 'b', 'a', 'c', 'a', 'b'].map(get)).toEqual(['A', 'B', 'A', 'C', 'A', 'B'])
  // b was dropped for c.
  expect(made).toEqual(['a', 'b', 'c', 'b'])
})
