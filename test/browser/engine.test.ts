// flicker-lm/web in Chromium: the package as it is built, on a plain page, with models from a server that can fail.

import { createHash } from 'node:crypto'
import { rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { load } from '../../src/engine/index.js'
import { describeWith, sharedData } from '../data/shared-data.js'
import {
  describeInBrowser,
  inPage,
  openPage,
  serveFiles,
  startChromium,
  type TestServer,
} from './chromium.js'
import { chatTemplate, writeModels } from './model-files.js'

let browser: Browser
let server: TestServer
let other: TestServer
let models: string
let page: Page

/** A model in the page, kept in its variable `model`. */
const loading = (location: string, options = '') =>
  `const model = await flicker.load(${location}, { ${options} });`
const url = (name: string) => JSON.stringify(`${server.origin}/models/${name}`)
const failure = (body: string) =>
  inPage<{ code: string; message: string } | null>(
    page,
    `try { ${body} } catch (error) { return { code: error.code, message: error.message } } return null`,
  )

describeInBrowser('flicker-lm/web', () => {
  beforeAll(async () => {
    models = await writeModels()
    server = await serveFiles(models)
    other = await serveFiles(models)
    browser = await startChromium()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
    await other?.close()
    rmSync(models, { recursive: true, force: true })
  })
  beforeEach(async () => {
    page = await openPage(browser, server)
  })
  afterEach(async () => {
    await page.context().close()
    server.faults = {}
    other.faults = {}
    server.requests.length = 0
  })

  describe('generates what Node generates', () => {
    const options = { maxTokens: 12, temperature: 0, topLogprobs: 3, ignoreEos: true }
    const expected = async (name: string) => {
      const model = await load(path.join(models, name))
      const { text, tokens } = await model.complete('Once', options)
      model.dispose()
      return { text, ids: tokens.map(({ id }) => id), logprobs: tokens.map(({ logprob }) => logprob) }
    }

    it.each([
      ['a Hugging Face directory, WebAssembly', 'hf/', ''],
      ['a Hugging Face directory, TypeScript', 'hf/', "backend: 'portable'"],
      ['GGUF', 'model.gguf', ''],
      ['GGUF in q8_0', 'q8.gguf', ''],
    ])('%s', async (_, name, more) => {
      const reference = await expected(name)
      const found = await inPage<{ text: string; ids: number[]; logprobs: number[]; backend: string }>(
        page,
        `${loading(url(name), more)}
        const tokens = []
        for await (const token of model.generate('Once', ${JSON.stringify(options)})) tokens.push(token)
        const { text } = await model.complete('Once', ${JSON.stringify(options)})
        return { text, ids: tokens.map(t => t.id), logprobs: tokens.map(t => t.logprob), backend: model.backend }`,
      )
      expect(found.backend).toBe(more === '' ? 'wasm' : 'portable')
      expect(found.text).toBe(reference.text)
      expect(found.ids).toEqual(reference.ids)
      expect(found.logprobs).toHaveLength(12)
      for (const [i, logprob] of found.logprobs.entries())
        expect(logprob).toBeCloseTo(reference.logprobs[i], 4)
    })

    it('files that the user has chosen, and those of a directory', async () => {
      const { ids } = await expected('model.gguf')
      const found = await inPage<number[][]>(
        page,
        `const get = async name => new File([await (await fetch('/models/' + name)).blob()], name.split('/').at(-1))
        const directory = await Promise.all(['config.json', 'model.safetensors', 'tokenizer.json'].map(n => get('hf/' + n)))
        const results = []
        for (const files of [await get('model.gguf'), directory]) {
          const model = await flicker.load(files)
          const { tokens } = await model.complete('Once', ${JSON.stringify(options)})
          results.push(tokens.map(({ id }) => id))
          model.dispose()
        }
        return results`,
      )
      expect(found).toEqual([ids, ids])
    })

    it('several texts of one prompt, each as alone, with the neurons of each token', async () => {
      const many =
        '{ maxTokens: 6, temperature: 1, n: 3, neurons: true, activation: "stocha:p=0.5", ignoreEos: true }'
      const found = await inPage<{
        together: number[][]
        alone: number[][]
        active: boolean
        drawn: number
        size: number
      }>(
        page,
        `${loading(url('model.gguf'))}
        const together = [[], [], []], seen = []
        let active = true, drawn = 0, size = 0
        for await (const token of model.generateMany('Once', ${many})) {
          together[token.sequence].push(token.id)
          size = token.neurons.length
          const layers = token.activeNeurons.length, width = size / layers
          for (let layer = 0; layer < layers; layer++) {
            const own = token.neurons.subarray(layer * width, (layer + 1) * width)
            if (own.filter(x => x > 0).length !== token.activeNeurons[layer]) active = false
            drawn += own.filter(x => x === 2).length
          }
        }
        const alone = []
        for (const sequence of [0, 1, 2]) {
          const { tokens } = await model.complete('Once', { ...${many}, n: 1, sequence })
          alone.push(tokens.map(({ id }) => id))
        }
        return { together, alone, active, drawn, size }`,
      )
      expect(found.together).toEqual(found.alone)
      expect(found.together.map(ids => ids.length)).toEqual([6, 6, 6])
      expect(found.active).toBe(true)
      expect(found.drawn).toBeGreaterThan(0)
      expect(found.size).toBe(3 * 160)
    })
  })

  it('computes with several threads in a page that is cross-origin isolated, to the same bits', async () => {
    const completed = (threads: number) =>
      `{ ${loading(url('q8.gguf'), `threads: ${threads}`)}
        const { tokens } = await model.complete('Once', { maxTokens: 12, temperature: 0, ignoreEos: true })
        results.push([model.threads, tokens.map(({ id, logprob }) => [id, logprob])])
        model.dispose() }`
    const run = () =>
      inPage<[number, [number, number][]][]>(
        page,
        `const results = []
        ${completed(1)} ${completed(3)}
        return results`,
      )
    expect(await failure(loading(url('q8.gguf'), 'threads: 3'))).toMatchObject({
      code: 'THREADS_UNAVAILABLE',
    })
    expect(await failure(loading(url('q8.gguf'), 'threads: 0'))).toMatchObject({ code: 'THREADS_INVALID' })
    await page.context().close()
    page = await openPage(browser, server, 'isolated')
    const [[one, alone], [three, together]] = await run()
    expect([one, three]).toEqual([1, 3])
    expect(together).toHaveLength(12)
    expect(together).toEqual(alone)
  })

  it('renders chat templates, and stops one that does not end', async () => {
    const [text, error] = await inPage<[string, { code: string }]>(
      page,
      `${loading(url('hf/'))}
      const messages = [{ role: 'user', content: 'Hi' }]
      const text = await model.renderChat(messages)
      const endless = '{% for a in range(90000) %}{% for b in range(90000) %}{{ b }}{% endfor %}{% endfor %}'
      const error = await model.renderChat(messages, { template: endless }).catch(({ code }) => ({ code }))
      return [text, error]`,
    )
    expect(chatTemplate).toContain('assistant')
    expect(text).toBe('<user>Hi<assistant>')
    expect(error).toEqual({ code: 'CHAT_TEMPLATE_LIMIT' })
  })

  it('stops at the next token: by a signal, and when the loop is left', async () => {
    const [signalled, left, after] = await inPage<[number, number, number]>(
      page,
      `${loading(url('model.gguf'))}
      const controller = new AbortController()
      let signalled = 0, left = 0
      const options = { maxTokens: 100, temperature: 1, ignoreEos: true }
      for await (const token of model.generate('Once', { ...options, signal: controller.signal })) {
        if (++signalled === 5) controller.abort()
      }
      for await (const token of model.generate('Once', options)) if (++left === 5) break
      const { tokens } = await model.complete('Once', { maxTokens: 3, ignoreEos: true })
      return [signalled, left, tokens.length]`,
    )
    expect(signalled).toBeGreaterThanOrEqual(5)
    expect(signalled).toBeLessThan(100)
    expect([left, after]).toEqual([5, 3])
  })

  it('downloads a model once: the next visit reads it from the cache', async () => {
    const body = `${loading(url('model.gguf'))} model.dispose(); return (await flicker.cachedModels()).length`
    expect(await inPage(page, body)).toBe(1)
    expect(server.requests).toEqual(['/models/model.gguf'])
    await page.reload()
    await page.evaluate(`import('/dist/browser/index.js').then(module => { globalThis.flicker = module })`)
    server.requests.length = 0
    expect(await inPage(page, body)).toBe(1)
    expect(server.requests).toEqual([])
    await inPage(page, `await flicker.removeCachedModel(${url('model.gguf')})`)
    expect(await inPage(page, 'return (await flicker.cachedModels()).length')).toBe(0)
  })

  it('resumes a download where it was interrupted, from another site too', async () => {
    const bytes = await readFile(path.join(models, 'model.gguf'))
    other.faults = { cutAfter: 100_000 }
    other.requests.length = 0
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const progress = await inPage<number[]>(
      page,
      `const seen = []
      ${loading(JSON.stringify(`${other.origin}/models/model.gguf`), `sha256: '${sha256}', onProgress: ({ received }) => seen.push(received)`)}
      model.dispose()
      return seen`,
    )
    expect(progress.at(-1)).toBe(bytes.length)
    // What a broken connection has not delivered is asked for again, what it has delivered is not.
    const ranges = other.requests.map(request => Number(/bytes=(\d+)-/.exec(request)?.[1] ?? 0))
    expect(ranges.length).toBeGreaterThan(2)
    expect(ranges).toEqual([...ranges].sort((a, b) => a - b))
    expect(ranges.at(-1)).toBeGreaterThan(bytes.length - 100_001)
  })

  it('resumes one that an earlier visit left, unless the file has changed since', async () => {
    const file = path.join(models, 'left.gguf')
    const begin = async () => {
      server.faults = { slow: 15 }
      const error = await failure(
        `const controller = new AbortController()
        const onProgress = ({ received }) => received > 100_000 && controller.abort()
        await flicker.load(${url('left.gguf')}, { signal: controller.signal, onProgress })`,
      )
      server.faults = {}
      server.requests.length = 0
      return error?.code
    }
    const end = async () => {
      const sha256 = createHash('sha256')
        .update(await readFile(file))
        .digest('hex')
      return failure(`${loading(url('left.gguf'), `sha256: '${sha256}'`)} model.dispose()`)
    }
    writeFileSync(file, await readFile(path.join(models, 'model.gguf')))
    expect(await begin()).toBe('DOWNLOAD_ABORTED')
    const [{ bytes, complete }] = await inPage<{ bytes: number; complete: boolean }[]>(
      page,
      'return flicker.cachedModels()',
    )
    expect(complete).toBe(false)
    expect(await end()).toBeNull()
    expect(server.requests).toEqual([`/models/left.gguf bytes=${bytes}-`])
    await inPage(page, `await flicker.removeCachedModel(${url('left.gguf')})`)

    expect(await begin()).toBe('DOWNLOAD_ABORTED')
    writeFileSync(file, await readFile(path.join(models, 'q8.gguf')))
    utimesSync(file, 1e9, 1e9)
    expect(await end()).toBeNull()
    expect(server.requests.at(-1)).toBe('/models/left.gguf')
  })

  describe('says what is wrong, in one line', () => {
    const expectLine = (error: { code: string; message: string } | null, code: string, text: RegExp) => {
      expect(error?.code).toBe(code)
      expect(error?.message).toMatch(text)
      expect(error?.message).not.toContain('\n')
    }

    it('a server that lets no other site read, or does not answer', async () => {
      other.faults = { cors: false }
      const error = await failure(loading(JSON.stringify(`${other.origin}/models/model.gguf`)))
      expectLine(error, 'DOWNLOAD_REFUSED', /model\.gguf cannot be read.*Access-Control-Allow-Origin/)
    })

    it('a file that is not there', async () => {
      expectLine(await failure(loading(url('none.gguf'))), 'DOWNLOAD_STATUS', /none\.gguf was refused: 404/)
    })

    it('an interrupted download from a server without ranges', async () => {
      server.faults = { ranges: false, cutAfter: 50_000 }
      const error = await failure(loading(url('model.gguf')))
      expectLine(error, 'DOWNLOAD_INTERRUPTED', /after \d+ bytes; the server does not support range requests/)
    })

    it('a full storage', async () => {
      const session = await page.context().newCDPSession(page)
      await session.send('Storage.overrideQuotaForOrigin', { origin: server.origin, quotaSize: 60_000 })
      const error = await failure(loading(url('model.gguf')))
      expectLine(error, 'CACHE_FULL', /storage for this site is full.*cache: false/)
      // Without the cache it loads.
      expect(await failure(`${loading(url('model.gguf'), 'cache: false')} model.dispose()`)).toBeNull()
    })

    it('a corrupt file: by its checksum, and by its content', async () => {
      const wrong = '0'.repeat(64)
      const error = await failure(loading(url('model.gguf'), `sha256: '${wrong}'`))
      expectLine(error, 'CHECKSUM_MISMATCH', /model\.gguf is corrupt: its SHA-256 is [0-9a-f]{64}, not 0{64}/)
      expect(await inPage(page, 'return (await flicker.cachedModels()).length')).toBe(0)
      const file = path.join(models, 'short.gguf')
      writeFileSync(file, await readFile(path.join(models, 'model.gguf')))
      truncateSync(file, 200_000)
      expectLine(await failure(loading(url('short.gguf'))), 'GGUF_TRUNCATED', /short\.gguf is truncated/)
    })

    it('what is no model, and what a browser has not', async () => {
      const choose = "[new File(['a'], 'a.txt'), new File(['b'], 'b.txt')]"
      expectLine(
        await failure(loading(choose)),
        'MODEL_FILES',
        /none of these files is a model: a\.txt, b\.txt/,
      )
      const grammar = `${loading(url('hf/'))} await model.complete('a', { grammar: { type: 'json_object' } })`
      expectLine(await failure(grammar), 'GRAMMAR_UNAVAILABLE', /not available in a browser/)
      const used = `${loading(url('hf/'))} model.dispose(); await model.complete('a')`
      expectLine(await failure(used), 'MODEL_DISPOSED', /load it again/)
      expectLine(await failure(loading(url('hf/'), "backend: 'cuda'")), 'BACKEND_UNKNOWN', /wasm, webgpu/)
    })
  })

  describeWith('checkpoints/stories260K.bin', 'stories260K', () => {
    it('tells the published story', async () => {
      const { copyFileSync } = await import('node:fs')
      copyFileSync(sharedData('checkpoints/stories260K.bin'), path.join(models, 'stories260K.bin'))
      copyFileSync(sharedData('tokenizers/llama2c_tok512.bin'), path.join(models, 'tokenizer.bin'))
      const text = await inPage<string>(
        page,
        `${loading(url('stories260K.bin'))}
        return (await model.complete('', { maxTokens: 60, temperature: 0 })).text`,
      )
      // What `./run stories260K.bin -z tok512.bin -t 0.0` prints: llama2.c's own test.
      expect(text.trimStart()).toMatch(
        /^Once upon a time, there was a little girl named Lily\. She loved to play outside in the park\. One day, she saw/,
      )
    })
  })
})
