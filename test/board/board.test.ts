// The board's data: what a run's files say arrives once, as it is written; replaced files are read again. And its page.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Board, type BoardEvent, Feed } from '../../src/board/feed.js'
import { boardAssets, createBoard } from '../../src/board/index.js'
import { COLUMNS } from '../../src/board/run-files.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))

const step = (n: number, activation = 'silu') =>
  `${JSON.stringify({ kind: 'step', step: n, loss: 5 - n, learningRate: 0.5, gradNorm: 2, activation, seconds: 0.25 })}\n`
const evaluation = (n: number) =>
  `${JSON.stringify({ kind: 'evaluation', step: n, loss: 4, bitsPerByte: 2, sparsity: [0.5, 0.75], activation: 'silu' })}\n`

let made = 0
/** A directory with a run in it. */
function newRun(content: string) {
  const study = path.join(directory, String(made++))
  const run = path.join(study, 'runs', 'swift')
  fs.mkdirSync(run, { recursive: true })
  const training = { steps: 9, batchSize: 2, context: 8, accumulate: 3 }
  fs.writeFileSync(
    path.join(run, 'options.json'),
    JSON.stringify({ model: { intermediateSize: 6 }, strategy: { strategy: 'swift', alpha: 0.5 }, training }),
  )
  const metrics = path.join(run, 'metrics.jsonl')
  fs.writeFileSync(metrics, content)
  return { study, run, metrics }
}

type News = Extract<BoardEvent, { type: 'news' }>

/** Rows of a piece of news, by column. */
function rowsOf({ rows }: News): Record<string, number>[] {
  const bytes = Buffer.from(rows, 'base64')
  const values = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i))
  const width = COLUMNS.length
  return Array.from({ length: values.length / width }, (_, i) =>
    Object.fromEntries(COLUMNS.map((name, column) => [name, values[i * width + column]])),
  )
}

function following(study: string) {
  const board = new Board(study)
  const feed = new Feed(board)
  return () => {
    board.update()
    return feed.next()
  }
}

describe('what a page is sent', () => {
  it('is what a run has recorded, then what is added, each once', () => {
    const { study, metrics } = newRun(step(1) + evaluation(1))
    const next = following(study)
    const first = next()
    // Then the page may draw.
    expect(first.map(({ type }) => type)).toEqual(['runs', 'news', 'current'])
    const [runs, news] = first as [Extract<BoardEvent, { type: 'runs' }>, News]
    expect(runs.runs).toEqual([
      { name: 'runs/swift', steps: 9, tokensPerStep: 48, strategy: 'swift, alpha 0.5', hiddenNeurons: 6 },
    ])
    expect(rowsOf(news)).toEqual([
      { step: 1, loss: 4, learningRate: 0.5, gradNorm: 2, seconds: 0.25, active: Number.NaN },
    ])
    expect(news.evaluations).toMatchObject([{ step: 1, sparsity: [0.5, 0.75] }])
    expect(next()).toEqual([])
    const whole = step(2, 'relu')
    fs.appendFileSync(metrics, whole.slice(0, 20))
    expect(next()).toEqual([])
    fs.appendFileSync(metrics, whole.slice(20) + step(3, 'relu').slice(0, 9))
    const [added] = next() as News[]
    expect(added.reset).toBe(false)
    expect(rowsOf(added).map(row => row.step)).toEqual([2])
    expect(added.switches).toEqual([{ step: 2, activation: 'relu' }])
  })

  it('begins again when a log is replaced', () => {
    const { study, metrics } = newRun(step(1) + step(2))
    const next = following(study)
    next()
    fs.writeFileSync(`${metrics}.new`, step(1) + step(2) + step(3))
    fs.renameSync(`${metrics}.new`, metrics)
    const [news] = next() as News[]
    expect(news.reset).toBe(true)
    expect(rowsOf(news).map(row => row.step)).toEqual([1, 2, 3])
  })

  it('has runs that begin later, samples, and lines that are not JSON left out', () => {
    const { study, run, metrics } = newRun('nonsense\n[1]\n"x"\nnull\n')
    const next = following(study)
    expect(next().map(({ type }) => type)).toEqual(['runs', 'news', 'current'])
    fs.writeFileSync(
      path.join(run, 'samples.jsonl'),
      '{"step": 1, "prompt": "é", "text": "a"}\n{"text": 5}\n',
    )
    const [news] = next() as News[]
    expect(news.samples).toEqual([{ step: 1, prompt: 'é', text: 'a' }])
    const other = path.join(study, 'other')
    fs.mkdirSync(other)
    fs.copyFileSync(metrics, path.join(other, 'metrics.jsonl'))
    const events = next()
    expect(
      events.map(event => (event.type === 'runs' ? event.runs.map(({ name }) => name) : (event as News).run)),
    ).toEqual([['runs/swift', 'other'], 'other'])
  })

  it('comes as events within a second', async () => {
    const { study, metrics } = newRun(step(1))
    const board = createBoard(study, directory)
    const response = await board.fetch(new Request('http://localhost/events'))
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const read = async () => new TextDecoder().decode((await reader.read()).value)
    expect(await read()).toMatch(/^event: runs\ndata: \{/)
    expect(await read()).toMatch(/^event: news\n/)
    expect(await read()).toMatch(/^event: current\n/)
    fs.appendFileSync(metrics, step(2))
    const appended = await read()
    expect(rowsOf(JSON.parse(appended.split('data: ')[1])).map(row => row.step)).toEqual([2])
    board.close()
    expect((await reader.read()).done).toBe(true)
  })
})

describe('the page', () => {
  it('is built and served, with a policy that lets it load nothing from elsewhere', async () => {
    const board = createBoard(directory, await boardAssets())
    const get = (name: string) => board.fetch(new Request(`http://localhost${name}`))
    const page = await get('/')
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'/)
    const html = await page.text()
    const assets = [...html.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)].map(([, asset]) => asset)
    expect(assets.length).toBeGreaterThan(1)
    for (const asset of assets) expect((await get(asset)).status).toBe(200)
    for (const name of ['/nothing', '/..%2fpackage.json', '/assets/../../package.json', '/assets']) {
      expect([name, (await get(name)).status]).toEqual([name, 404])
    }
  })
})
