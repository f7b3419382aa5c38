// Random load over sockets: clients that join, leave, read slowly and send nonsense. Every text that arrives is the library's, the
// server gives no error that was not asked for, and memory does not grow. FLICKER_LOAD_SECONDS (default 4; `npm run test:full`: 600).

import http from 'node:http'
import v8 from 'node:v8'
import vm from 'node:vm'
import { afterAll, expect, it } from 'vitest'
import { createServer } from '../../src/serve/index.js'
import { listening } from './listening.js'
import { servedConfig, servedModel, toolTemplate } from './served-model.js'

const seconds = Number(process.env.FLICKER_LOAD_SECONDS ?? (process.env.FLICKER_FULL === '1' ? 600 : 4))
const CLIENTS = 12
const model = servedModel(toolTemplate, { ...servedConfig, maxPositionEmbeddings: 300 })
afterAll(() => model.dispose())

const prompts = ['Once', 'Once upon a time', 'x'.repeat(150), 'zebra', 'Once upon a midnight']
const schema = { type: 'object', properties: { a: { enum: ['x', 'y'] } }, required: ['a'] } as const

interface Case {
  readonly body: Record<string, unknown>
  readonly text: string
}

/** Requests and the texts that the library gives for them. */
async function cases(): Promise<Case[]> {
  const all: Case[] = []
  for (const [i, prompt] of prompts.entries()) {
    for (const seed of [1, 2]) {
      const common = { seed, temperature: 0.9 }
      const activation = i % 2 === 0 ? undefined : 'stocha:p=0.4'
      const plain = await model.complete(prompt, { ...common, maxTokens: 40, ignoreEos: true, activation })
      all.push({
        body: { prompt, ...common, max_tokens: 40, ignore_eos: true, activation },
        text: plain.text,
      })
      const held = await model.complete(prompt, {
        ...common,
        maxTokens: 60,
        grammar: { type: 'json_schema', schema },
      })
      const response_format = { type: 'json_schema', json_schema: { schema } }
      all.push({ body: { prompt, ...common, max_tokens: 60, response_format }, text: held.text })
    }
  }
  return all
}

type Ending = 'whole' | 'streamed' | 'slow' | 'leaves'

/** What came until the end, or until the client left. */
function ask(port: number, body: unknown, ending: Ending): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    // A connection of its own: one that is kept may be closed while it idles.
    const options = { port, path: '/v1/completions', method: 'POST', agent: false }
    const request = http.request(options, response => {
      let text = ''
      const done = () => resolve({ status: response.statusCode ?? 0, text })
      response.setEncoding('utf8')
      response.on('data', chunk => {
        text += chunk
        if (ending === 'leaves') request.destroy()
        if (ending !== 'slow') return
        response.pause()
        setTimeout(() => response.resume(), 30)
      })
      response.on('end', done)
      response.on('close', done)
      response.on('error', () => {})
    })
    request.on('error', error => (ending === 'leaves' ? resolve({ status: 0, text: '' }) : reject(error)))
    request.end(typeof body === 'string' ? body : JSON.stringify(body))
    if (ending === 'leaves') setTimeout(() => request.destroy(), Math.random() * 40)
  })
}

function textOf(answer: string, ending: Ending): string {
  const parsed = (json: string) => (JSON.parse(json) as { choices: { text: string }[] }).choices[0].text
  if (ending === 'whole') return parsed(answer)
  return answer
    .split('\n\n')
    .filter(line => line.startsWith('data: {'))
    .map(line => parsed(line.slice(6)))
    .join('')
}

v8.setFlagsFromString('--expose-gc')
const collect = vm.runInNewContext('gc') as () => void

/** Bytes in use once everything that can be is collected. */
async function used(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collect()
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

it("under random load texts are the library's, and memory does not grow", {
  // A machine that is shared stands still now and then.
  timeout: 2000 * seconds + 300_000,
}, async () => {
  const known = await cases()
  const notices: string[] = []
  const app = createServer({
    models: { tiny: model },
    maxBatch: 8,
    maxQueue: 6,
    cacheMemory: 2e6,
    onNotice: notice => notices.push(notice),
  })
  const port = await listening(app)
  const counts = { equal: 0, busy: 0, left: 0, refused: 0 }
  const client = async (until: number) => {
    while (performance.now() < until) {
      if (Math.random() < 0.1) {
        const bad = [
          '{',
          '{"prompt": 5}',
          '{"prompt": "a", "response_format": {"type": "regex", "pattern": "(("}}',
        ][Math.floor(3 * Math.random())]
        expect((await ask(port, bad, 'whole')).status).toBe(400)
        counts.refused++
        continue
      }
      const { body, text } = known[Math.floor(known.length * Math.random())]
      const ending = (['whole', 'streamed', 'slow', 'leaves'] as const)[Math.floor(4 * Math.random())]
      const answer = await ask(port, { ...body, stream: ending !== 'whole' }, ending)
      if (ending === 'leaves') counts.left++
      else if (answer.status === 429) counts.busy++
      else {
        expect([answer.status, answer.status === 200 ? '' : answer.text]).toEqual([200, ''])
        expect(textOf(answer.text, ending)).toBe(text)
        counts.equal++
      }
    }
  }
  const load = (duration: number) => {
    const until = performance.now() + 1000 * duration
    return Promise.all(Array.from({ length: CLIENTS }, () => client(until)))
  }
  await load(seconds / 3)
  const before = await used()
  await load((2 * seconds) / 3)
  const after = await used()
  expect(notices).toEqual([])
  expect(counts.equal).toBeGreaterThan(0)
  expect(counts.left).toBeGreaterThan(0)
  if (seconds >= 60) process.stderr.write(`load: ${JSON.stringify({ seconds, ...counts, before, after })}\n`)
  // A run of seconds is still warming up.
  expect(after).toBeLessThan((seconds >= 60 ? 1.05 : 1.5) * before)
})
