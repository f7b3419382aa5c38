// `flicker serve` as a process: what it says, what it refuses to start with, and how it stops.

import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { flicker, start } from './run.js'

const directory = temporaryDirectory()
const model = path.join(directory, 'model')
beforeAll(() => {
  const config = {
    ...smallConfig,
    vocabSize: bytesTokenizer().vocabSize,
    maxPositionEmbeddings: 200_000,
    activation: 'relu',
  }
  const tensors = tensorOf(randomTensors(config, 9))
  writeCheckpoint(model, {
    config,
    tensors: parameterShapes(config).map(({ name, shape }) => ({ name, shape, data: tensors(name) })),
    tokenizer: bytesTokenizer().toJSON(),
  })
})
afterAll(() => fs.rmSync(directory, { recursive: true }))

/** A server on a free port, once its model is ready. */
async function serving(...flags: string[]) {
  const running = start(['serve', '--model', model, '--port', '0', '--threads', '1', ...flags])
  let said = ''
  running.child.stderr?.on('data', chunk => {
    said += chunk
  })
  while (!/is ready/.test(said)) await new Promise(resolve => setTimeout(resolve, 20))
  return { ...running, port: Number(/http:\/\/[^:]+:(\d+)/.exec(said)?.[1]) }
}

/** The events of a long stream; `onEvent` is told of the first. */
function stream(port: number, max_tokens: number, onEvent: () => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, path: '/v1/completions', method: 'POST' }, response => {
      let text = ''
      response.once('data', onEvent)
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(JSON.stringify({ prompt: 'a', max_tokens, ignore_eos: true, stream: true }))
  })
}

it('finishes what runs when it is told to stop, within --grace, and takes nothing new', async () => {
  const { child, port, finished } = await serving('--grace', '60')
  const text = await stream(port, 300, () => child.kill('SIGTERM'))
  expect(text.trimEnd().endsWith('data: [DONE]')).toBe(true)
  expect(text.match(/"finish_reason":"length"/g)).toHaveLength(1)
  const { code, stderr } = await finished
  expect(code).toBe(0)
  expect(stderr).toMatch(/stopping; requests have 60 s/)
})

it('ends what runs after --grace, with an error that says so', async () => {
  const { child, port, finished } = await serving('--grace', '0')
  const text = await stream(port, 100_000, () => child.kill('SIGTERM'))
  expect(text).toContain('"code":"server_closing"')
  expect(text).not.toContain('[DONE]')
  expect((await finished).code).toBe(0)
})

it('says that its port is in use, and which flag helps', async () => {
  const other = http.createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  const address = other.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { code, stderr } = await flicker(['serve', '--model', model, '--port', String(port)])
  other.close()
  expect(code).not.toBe(0)
  expect(stderr).toMatch(/port \d+ of 127\.0\.0\.1 is in use.*--port.*\[PORT_IN_USE\]/)
})

it.each<[string, string[], RegExp]>([
  ['a model that is not there', ['--model', path.join(directory, 'nothing')], /nothing/],
  ['two models of one name', ['--model', model, '--model', model], /MODEL_NAME_TWICE/],
  ['no model', [], /--model/],
])('does not start with %s', async (_, flags, says) => {
  const { code, stderr } = await flicker(['serve', '--port', '0', ...flags])
  expect(code).toBe(2)
  expect(stderr).toMatch(says)
})

it('warns where others can reach it without a key', async () => {
  const { child, finished } = await serving('--host', '0.0.0.0')
  child.kill('SIGTERM')
  expect((await finished).stderr).toMatch(/no --api-key: everyone may use/)
})

it('has the playground at /playground, which may run its worker and nothing of others', async () => {
  const { port, child } = await serving()
  try {
    const get = (place: string) => fetch(`http://127.0.0.1:${port}${place}`)
    const page = await get('/playground')
    expect(page.status).toBe(200)
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self' 'wasm-unsafe-eval'")
    const [, script] = /src="\.\/(assets\/playground\.js)"/.exec(await page.text()) ?? []
    expect((await get(`/${script}`)).headers.get('content-type')).toMatch(/javascript/)
    expect((await get('/assets/../package.json')).status).toBe(404)
    expect((await get('/v1/models')).status).toBe(200)
  } finally {
    child.kill()
  }
})
