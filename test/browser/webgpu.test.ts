// The WebGPU backend in Chromium, on the processor that stands in for a GPU: the same kernels as in Node, compiled by the
// browser, give the text of the native engine.

import { rmSync } from 'node:fs'
import path from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { load } from '../../src/engine/index.js'
import {
  describeInBrowser,
  inPage,
  openPage,
  serveFiles,
  startChromium,
  type TestServer,
} from './chromium.js'
import { writeModels } from './model-files.js'

let browser: Browser
let server: TestServer
let models: string

describeInBrowser('flicker-lm/web on WebGPU', () => {
  beforeAll(async () => {
    models = await writeModels()
    server = await serveFiles(models)
    browser = await startChromium({ webgpu: true })
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
    rmSync(models, { recursive: true, force: true })
  })

  it.each([
    ['q8.gguf', 'stocha:p=0.3'],
    // Of whole rows.
    ['model.gguf', 'topk:k=0.2,by=magnitude,act=silu'],
  ])('generates from %s with %s what Node generates', async (name, activation) => {
    const options = { maxTokens: 6, temperature: 0, ignoreEos: true, activation, seed: 4 }
    const model = await load(path.join(models, name))
    const { text, tokens } = await model.complete('Once', options)
    model.dispose()
    const page = await openPage(browser, server)
    const found = await inPage<{ text: string; logprobs: number[]; active: number[][]; backend: string }>(
      page,
      `const model = await flicker.load('/models/${name}', { backend: 'webgpu' })
      const { text, tokens } = await model.complete('Once', ${JSON.stringify(options)})
      return {
        text,
        logprobs: tokens.map(t => t.logprob),
        active: tokens.map(t => [...t.activeNeurons]),
        backend: model.backend,
      }`,
    )
    await page.context().close()
    expect(found.backend).toBe('webgpu')
    expect(found.text).toBe(text)
    expect(found.active).toEqual(tokens.map(({ activeNeurons }) => [...activeNeurons]))
    expect(found.logprobs).toHaveLength(6)
    for (const [i, logprob] of found.logprobs.entries()) expect(logprob).toBeCloseTo(tokens[i].logprob, 4)
  })

  it('says in one line that a browser has no WebGPU', async () => {
    const without = await startChromium()
    const page = await openPage(without, server)
    const error = await inPage<{ code: string; message: string }>(
      page,
      `return flicker.load('/models/model.gguf', { backend: 'webgpu' }).then(
        () => null, error => ({ code: error.code, message: error.message }))`,
    )
    await without.close()
    expect(error.code).toMatch(/^WEBGPU_(NO_ADAPTER|MISSING)$/)
    expect(error.message).toMatch(/backend/)
    expect(error.message).not.toContain('\n')
  })
})
