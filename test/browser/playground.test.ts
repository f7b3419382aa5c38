// The playground in Chromium: as a user uses it, at the width of a desk and of a phone, in both color schemes.

import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { boardAssets, playgroundFile } from '../../src/board/index.js'
import { load } from '../../src/engine/index.js'
import { createServer } from '../../src/serve/index.js'
import { listening } from '../serve/listening.js'
import { describeInBrowser, serveFiles, startChromium, type TestServer } from './chromium.js'
import { writeModels } from './model-files.js'

let browser: Browser
let server: TestServer
let models: string
let page: Page

const PAGE = '/dist/web/playground.html'

/** A page of its own, with nothing kept. */
async function open(hash = '', context: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
  const opened = await (
    await browser.newContext({ viewport: { width: 1280, height: 900 }, ...context })
  ).newPage()
  await opened.goto(`${server.origin}${PAGE}${hash}`)
  return opened
}

const textOf = async (of: Page) => {
  const parts = await of.locator('.token:not(.blank)').allTextContents()
  return parts.join('')
}
/** Where FLICKER_PICTURES names a directory, what the page looks like. */
async function picture(name: string): Promise<void> {
  const pictures = process.env.FLICKER_PICTURES
  if (!pictures) return
  mkdirSync(pictures, { recursive: true })
  await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true })
}
const loaded = (of: Page) => of.getByText(/layers ×/).waitFor()
async function generate(of: Page): Promise<void> {
  await of.getByRole('button', { name: 'Generate' }).click()
  await of.getByRole('button', { name: 'Generate' }).waitFor({ timeout: 30_000 })
}
async function set(of: Page, values: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    const field = of.locator(`[name=${name}]`)
    await field.fill(value)
    await field.blur()
  }
}

describeInBrowser('the playground', () => {
  beforeAll(async () => {
    await boardAssets()
    models = await writeModels()
    server = await serveFiles(models)
    browser = await startChromium()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
    rmSync(models, { recursive: true, force: true })
  })
  afterEach(async () => {
    await page.context().close()
    server.faults = {}
    server.requests.length = 0
  })

  it('loads a model by its address, gives its text, and tells which neurons each token took', async () => {
    page = await open()
    await page.locator('[name=model]').fill(`${server.origin}/models/model.gguf`)
    await page.getByRole('button', { name: 'Load', exact: true }).click()
    await loaded(page)
    await set(page, { prompt: 'Once', maxTokens: '16', temperature: '0' })
    await generate(page)
    const model = await load(path.join(models, 'model.gguf'))
    const expected = await model.complete('Once', { maxTokens: 16, temperature: 0 })
    model.dispose()
    expect(await textOf(page)).toBe(expected.text)
    const told = await page.getByRole('img', { name: /Layers by neurons/ }).getAttribute('aria-label')
    const last = expected.tokens.at(-1)!
    const active = last.activeNeurons.reduce((a, b) => a + b, 0) / (3 * 160)
    expect(told).toContain(`${(100 * active).toFixed(1)} % of the neurons are active, 0.0 % below zero`)
    const colors = await page.locator('canvas').evaluate(element => {
      const canvas = element as unknown as {
        width: number
        height: number
        getContext(kind: string): { getImageData(...of: number[]): { data: Uint8ClampedArray } }
      }
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join()))
        .size
    })
    expect(colors).toBeGreaterThan(1)
  })

  it('shows what else could have stood at a token, by pointer and by keyboard', async () => {
    page = await open(`#model=${server.origin}/models/model.gguf`)
    await loaded(page)
    await set(page, { prompt: 'Once', maxTokens: '8', temperature: '0' })
    await generate(page)
    await page.locator('.token').nth(2).click()
    const alternatives = page.locator('.alternatives li')
    expect(await alternatives.count()).toBe(8)
    const likely = (await alternatives.locator('span:last-child').allTextContents()).map(Number.parseFloat)
    expect(likely).toEqual([...likely].sort((a, b) => b - a))
    await page.locator('.token').nth(2).press('ArrowRight')
    expect(await page.locator('.token').nth(3).getAttribute('aria-pressed')).toBe('true')
    await page.locator('.token').nth(3).press('Escape')
    expect(await alternatives.count()).toBe(0)
  })

  it('changes p: the draws of StochA are seen, and the text is the one of that p', async () => {
    page = await open(`#model=${server.origin}/models/model.gguf`)
    await loaded(page)
    await set(page, { prompt: 'Once', maxTokens: '12', temperature: '0' })
    await page.locator('[name=stocha]').check()
    const texts: string[] = []
    const below: number[] = []
    for (const p of ['0.1', '0.9']) {
      await set(page, { p })
      await generate(page)
      texts.push(await textOf(page))
      const told = await page.getByRole('img', { name: /Layers by neurons/ }).getAttribute('aria-label')
      below.push(Number(/, ([\d.]+) % below zero/.exec(told ?? '')?.[1]))
    }
    expect(below[0]).toBeGreaterThan(0)
    expect(below[1]).toBeGreaterThan(2 * below[0])
    const model = await load(path.join(models, 'model.gguf'))
    const expected: string[] = []
    for (const p of [0.1, 0.9]) {
      const options = { maxTokens: 12, temperature: 0, seed: 1, activation: `stocha:p=${p}` }
      expected.push((await model.complete('Once', options)).text)
    }
    model.dispose()
    expect(texts).toEqual(expected)
  })

  it('stops, puts several texts side by side, and has the model after a reload without a download', async () => {
    page = await open(`#model=${server.origin}/models/model.gguf`)
    await loaded(page)
    await set(page, { maxTokens: '4096', temperature: '1', n: '3' })
    await page.getByRole('button', { name: 'Generate' }).click()
    await page.locator('.token').nth(5).waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByRole('button', { name: 'Generate' }).waitFor()
    const count = await page.locator('.token').count()
    expect(count).toBeGreaterThan(5)
    expect(count).toBeLessThan(3 * 4000)
    await page.waitForTimeout(300)
    expect(await page.locator('.token').count()).toBe(count)
    expect(await page.getByRole('heading', { name: /^Text \d$/ }).count()).toBe(3)
    server.requests.length = 0
    await page.goto(`${server.origin}${PAGE}`)
    await page.reload()
    await loaded(page)
    expect(server.requests).toEqual([])
    expect(await page.locator('[name=n]').inputValue()).toBe('3')
  })

  it('loads a file that is dropped on it', async () => {
    page = await open()
    await page.evaluate(`(async () => {
      const bytes = await (await fetch('/models/model.gguf')).blob()
      const dropped = new DataTransfer()
      dropped.items.add(new File([bytes], 'dropped.gguf'))
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true, cancelable: true }))
    })()`)
    await loaded(page)
    expect(await page.locator('.state').textContent()).toMatch(/^dropped\.gguf: 3 layers × 160 neurons/)
    await set(page, { prompt: 'Once', maxTokens: '4', temperature: '0' })
    await generate(page)
    expect(await textOf(page)).not.toBe('')
  })

  it('tells what is wrong in the page', async () => {
    page = await open(`#model=${server.origin}/models/none.gguf`)
    expect(await page.getByRole('alert').textContent()).toMatch(/none\.gguf was refused: 404/)
  })

  it('generates with the server that it comes from', async () => {
    const model = await load(path.join(models, 'model.gguf'))
    const api = createServer({ models: { small: model } })
    const fetch = async (request: Request) => (await playgroundFile(request)) ?? api.fetch(request)
    const port = await listening({ fetch, close: grace => api.close(grace) })
    page = await (await browser.newContext()).newPage()
    await page.goto(`http://127.0.0.1:${port}/playground`)
    // The engine in this page may use several threads.
    expect(await page.evaluate('crossOriginIsolated')).toBe(true)
    await page.getByRole('button', { name: 'small on the server' }).click()
    await set(page, { prompt: 'Once', maxTokens: '12', temperature: '0' })
    await generate(page)
    const expected = await model.complete('Once', { maxTokens: 12, temperature: 0 })
    expect(await textOf(page)).toBe(expected.text)
    const map = page.getByRole('img', { name: /Layers by neurons/ })
    const last = expected.tokens.at(-1)!
    const active = last.activeNeurons.reduce((a, b) => a + b, 0) / (3 * 160)
    expect(await map.getAttribute('aria-label')).toContain(
      `${(100 * active).toFixed(1)} % of the neurons are active, 0.0 % below zero`,
    )
    await page.locator('.token:not(.blank)').first().click()
    expect(await page.locator('.alternatives li').count()).toBe(5)
    // The draws of StochA, two texts side by side.
    await page.locator('[name=stocha]').check()
    await set(page, { p: '0.9', n: '2', temperature: '1' })
    await generate(page)
    const options = {
      maxTokens: 12,
      temperature: 1,
      seed: 1,
      n: 2,
      activation: 'stocha:p=0.9',
      neurons: true,
    }
    const [{ tokens }] = await model.completeMany('Once', options)
    const signs = [...tokens.at(-1)!.neurons!]
    const below = signs.filter(sign => sign === 2).length / signs.length
    expect(below).toBeGreaterThan(0.1)
    expect(await map.getAttribute('aria-label')).toContain(`, ${(100 * below).toFixed(1)} % below zero`)
    await picture('server-1280-light')
    await page.setViewportSize({ width: 390, height: 844 })
    await page.emulateMedia({ colorScheme: 'dark' })
    await generate(page)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390)
    await picture('server-390-dark')
  })

  it.each([
    ['1280', 'light'],
    ['390', 'dark'],
  ] as const)(
    'fits %s pixels, %s: nothing is cut off, every field has a label',
    async (width, colorScheme) => {
      page = await open(`#model=${server.origin}/models/model.gguf`, {
        viewport: { width: Number(width), height: 844 },
        colorScheme,
      })
      await loaded(page)
      await set(page, { maxTokens: '30', n: '2', temperature: '1' })
      await page.locator('[name=stocha]').check()
      await generate(page)
      await page.locator('.token').nth(4).click()
      const wide = await page.evaluate('document.documentElement.scrollWidth')
      expect(wide).toBeLessThanOrEqual(Number(width))
      const unnamed = await page
        .locator('input:not([type=file]), select, textarea')
        .evaluateAll(
          fields =>
            fields.filter(field => !(field as unknown as { labels: { length: number } }).labels.length)
              .length,
        )
      expect(unnamed).toBe(0)
      await picture(`${width}-${colorScheme}`)
    },
  )
})
