// Models of the Hub, fetched by the real client from a server on localhost: what is downloaded, where it lies, and what
// happens when something breaks.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  cachedModels,
  downloadModel,
  type HubSettings,
  hubSettings,
  parseHubReference,
  removeCachedModel,
} from '../../src/hub/index.js'
import { COMMIT, type HubServer, startHub } from './hub-server.js'

/** Bytes of no pattern that a wrong offset would leave as it is. */
function noise(length: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (Math.imul(i + seed, 2654435761) >>> 13) & 255))
}

const ggufs = new Map([
  ['m-Q8_0.gguf', noise(50_000, 1)],
  ['m-Q4_K_M.gguf', noise(300_000, 2)],
  ['m-f16-00001-of-00002.gguf', noise(1000, 3)],
  ['m-f16-00002-of-00002.gguf', noise(900, 4)],
  ['mmproj-model.gguf', noise(10, 5)],
  ['README.md', Buffer.from('# m')],
])
const directoryFiles = new Map([
  ['config.json', Buffer.from('{"model_type":"llama"}')],
  ['model-00001-of-00002.safetensors', noise(2000, 6)],
  ['model-00002-of-00002.safetensors', noise(1500, 7)],
  ['model.safetensors.index.json', Buffer.from('{}')],
  ['tokenizer.json', Buffer.from('{"version":"1.0"}')],
  ['additional_chat_templates/tool.jinja', Buffer.from('x')],
  ['pytorch_model.bin', noise(100, 8)],
  ['onnx/model.onnx', noise(100, 9)],
])

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-hub-'))
const gguf = await startHub(ggufs)
const directory = await startHub(directoryFiles)
afterAll(async () => {
  await gguf.close()
  await directory.close()
  fs.rmSync(root, { recursive: true })
})
let number = 0
let settings: HubSettings
beforeEach(() => {
  settings = settingsOf(gguf)
  for (const server of [gguf, directory]) {
    for (const key of Object.keys(server.faults)) delete server.faults[key as keyof typeof server.faults]
    server.fileRequests.length = 0
    server.apiRequests.length = 0
  }
})
function settingsOf({ endpoint }: HubServer): HubSettings {
  return { endpoint, cache: path.join(root, String(number++)), token: null, offline: false }
}
const repo = () => path.join(settings.cache, 'models--owner--name')
const fetchModel = (reference = 'hf:owner/name', options = {}) =>
  downloadModel(parseHubReference(reference), settings, { retryDelay: 1, ...options })
const code = (value: string) => expect.objectContaining({ code: value })
const bodies = ({ fileRequests }: HubServer) => fileRequests.filter(({ range }) => range !== 'bytes=0-0')

describe('a repository of GGUF files', () => {
  it('gives its Q4_K_M file alone, laid out as huggingface_hub does', async () => {
    const file = await fetchModel()
    expect(file).toBe(path.join(repo(), 'snapshots', COMMIT, 'm-Q4_K_M.gguf'))
    expect(fs.readFileSync(file)).toEqual(ggufs.get('m-Q4_K_M.gguf'))
    const hash = createHash('sha256')
      .update(ggufs.get('m-Q4_K_M.gguf') as Buffer)
      .digest('hex')
    expect(fs.readlinkSync(file)).toBe(path.join('..', '..', 'blobs', hash))
    expect(fs.readdirSync(path.join(repo(), 'blobs'))).toEqual([hash])
    expect(fs.readFileSync(path.join(repo(), 'refs', 'main'), 'utf8')).toBe(COMMIT)
  })

  it('is not fetched twice', async () => {
    await fetchModel()
    gguf.fileRequests.length = 0
    await fetchModel()
    expect(gguf.fileRequests).toEqual([])
  })

  it.each([
    ['hf:owner/name:Q8_0', ['m-Q8_0.gguf']],
    ['hf:owner/name:q8_0', ['m-Q8_0.gguf']],
    ['hf:owner/name@v1:m-Q8_0.gguf', ['m-Q8_0.gguf']],
    ['hf:owner/name:F16', ['m-f16-00001-of-00002.gguf', 'm-f16-00002-of-00002.gguf']],
    ['hf:owner/name:m-f16-00002-of-00002.gguf', ['m-f16-00001-of-00002.gguf', 'm-f16-00002-of-00002.gguf']],
  ])('%s gives %j', async (reference, names) => {
    const file = await fetchModel(reference)
    expect(fs.readdirSync(path.dirname(file)).sort()).toEqual(names)
    expect(names).toContain(path.basename(file))
  })

  it('says which files there are when the one asked for is not', async () => {
    await expect(fetchModel('hf:owner/name:Q5_K_M')).rejects.toThrow(
      expect.objectContaining({
        code: 'HUB_FILE_MISSING',
        message: expect.stringMatching(/m-Q8_0\.gguf, m-Q4_K_M\.gguf/),
      }),
    )
    expect(bodies(gguf)).toEqual([])
  })

  it('tells bytes, rate and time left, and before that what it will fetch', async () => {
    const told: { bytes: number; total: number; bytesPerSecond: number | null }[] = []
    const plans: unknown[] = []
    await fetchModel('hf:owner/name', {
      onProgress: (progress: (typeof told)[number]) => told.push(progress),
      onStart: (plan: unknown) => plans.push(plan),
    })
    expect(plans).toEqual([
      expect.objectContaining({ repo: 'owner/name', commit: COMMIT, total: 300_000, missing: 300_000 }),
    ])
    expect(told.at(-1)).toMatchObject({ bytes: 300_000, total: 300_000, secondsLeft: 0 })
    expect(told.at(-1)?.bytesPerSecond).toBeGreaterThan(0)
  })
})

describe('a repository of safetensors', () => {
  it('gives the directory with the files that a model needs, and no other', async () => {
    settings = settingsOf(directory)
    const found = await fetchModel()
    expect(found).toBe(path.join(repo(), 'snapshots', COMMIT))
    const names = fs
      .readdirSync(found, { recursive: true, encoding: 'utf8' })
      .filter(name => name.includes('.'))
    expect(names.sort()).toEqual([
      'additional_chat_templates/tool.jinja',
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
    ])
    for (const name of names)
      expect(fs.readFileSync(path.join(found, name))).toEqual(directoryFiles.get(name))
  })

  it('without a GGUF file is told so when one is asked for', async () => {
    settings = settingsOf(directory)
    await expect(fetchModel('hf:owner/name:Q4_K_M')).rejects.toThrow(code('HUB_NO_MODEL'))
  })
})

describe('a connection that breaks', () => {
  it('is taken up where it broke, within one call', async () => {
    gguf.faults.cuts = [100_000, 50_000]
    const file = await fetchModel()
    expect(fs.readFileSync(file)).toEqual(ggufs.get('m-Q4_K_M.gguf'))
    const starts = bodies(gguf).map(({ range }) => Number(/bytes=(\d+)/.exec(range)?.[1] ?? 0))
    expect(starts).toHaveLength(3)
    // What had arrived is not asked for again.
    expect(starts[0]).toBe(0)
    expect(starts[1]).toBeGreaterThan(0)
    expect(starts[2]).toBeGreaterThanOrEqual(starts[1])
  })

  it('again and again gives an error that says so, and the next call resumes', async () => {
    gguf.faults.cuts = [80_000, 0, 0, 0, 0, 0, 0]
    await expect(fetchModel()).rejects.toThrow(
      expect.objectContaining({ code: 'HUB_UNREACHABLE', message: expect.stringMatching(/resumes/) }),
    )
    const [partial] = fs.readdirSync(path.join(repo(), 'blobs'))
    expect(partial).toMatch(/^[0-9a-f]{64}\.incomplete$/)
    const kept = fs.statSync(path.join(repo(), 'blobs', partial)).size
    expect(kept).toBeGreaterThan(0)
    expect(fs.existsSync(path.join(repo(), 'snapshots'))).toBe(false)
    gguf.faults.cuts = []
    gguf.fileRequests.length = 0
    const file = await fetchModel()
    expect(bodies(gguf).map(({ range }) => range)).toEqual([`bytes=${kept}-299999`])
    expect(fs.readFileSync(file)).toEqual(ggufs.get('m-Q4_K_M.gguf'))
  })

  it('that is aborted leaves what there is', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort()
    await expect(fetchModel('hf:owner/name', { signal: controller.signal, onProgress })).rejects.toThrow()
    expect(fs.readdirSync(path.join(repo(), 'blobs'))[0]).toMatch(/incomplete$/)
  })

  it('or a server that is overloaded for a moment is tried again', async () => {
    gguf.faults.fileStatuses = [503, 429]
    expect(fs.readFileSync(await fetchModel())).toEqual(ggufs.get('m-Q4_K_M.gguf'))
  })
})

describe('content that is wrong', () => {
  it('is refused by its hash and deleted', async () => {
    gguf.faults.instead = new Map([['m-Q4_K_M.gguf', noise(300_000, 99)]])
    await expect(fetchModel()).rejects.toThrow(code('HUB_HASH'))
    expect(fs.readdirSync(path.join(repo(), 'blobs'))).toEqual([])
    gguf.faults.instead = new Map()
    expect(fs.readFileSync(await fetchModel())).toEqual(ggufs.get('m-Q4_K_M.gguf'))
  })

  it('of a small file is refused by git’s hash', async () => {
    settings = settingsOf(directory)
    directory.faults.instead = new Map([['config.json', Buffer.from('{"model_type":"lllll"}')]])
    await expect(fetchModel()).rejects.toThrow(code('HUB_HASH'))
  })

  it('that an earlier call has left is found when the rest has come', async () => {
    gguf.faults.cuts = [80_000, 0, 0, 0, 0, 0, 0]
    await expect(fetchModel()).rejects.toThrow(code('HUB_UNREACHABLE'))
    const blobs = path.join(repo(), 'blobs')
    const partial = path.join(blobs, fs.readdirSync(blobs)[0])
    fs.writeFileSync(partial, noise(fs.statSync(partial).size, 50))
    gguf.faults.cuts = []
    await expect(fetchModel()).rejects.toThrow(code('HUB_HASH'))
  })
})

describe('a disk without room', () => {
  it('is told before anything is fetched, with both numbers', async () => {
    gguf.faults.listedSize = 2 ** 52
    await expect(fetchModel()).rejects.toThrow(
      expect.objectContaining({
        code: 'DISK_FULL',
        message: expect.stringMatching(
          /^4503599\.63 GB are to be downloaded to .*, where [\d.]+ GB are free/,
        ),
      }),
    )
    expect(bodies(gguf)).toEqual([])
    expect(fs.existsSync(path.join(repo(), 'blobs'))).toBe(false)
  })

  it('that fills up on the way is told, and the next call resumes', async () => {
    const whole = fs.writeSync
    let left = 100_000
    const full = vi.spyOn(fs, 'writeSync').mockImplementation(((fd, chunk, start, length, at) => {
      if (left <= 0)
        throw Object.assign(new Error('no space'), { code: 'ENOSPC', errno: -28, syscall: 'write' })
      const written = whole(
        fd,
        chunk as Uint8Array,
        start as number,
        Math.min(left, length as number),
        at as number,
      )
      left -= written
      return written
    }) as typeof fs.writeSync)
    try {
      await expect(fetchModel()).rejects.toThrow(code('DISK_FULL'))
    } finally {
      full.mockRestore()
    }
    const before = bodies(gguf).length
    expect(fs.readFileSync(await fetchModel())).toEqual(ggufs.get('m-Q4_K_M.gguf'))
    expect(bodies(gguf)[before].range).toMatch(/^bytes=100000-/)
  })
})

describe('a model that may not or cannot be had', () => {
  it.each([401, 403])('%d: needs a token', async status => {
    gguf.faults.apiStatus = status
    await expect(fetchModel()).rejects.toThrow(
      expect.objectContaining({ code: 'HUB_UNAUTHORIZED', message: expect.stringMatching(/HF_TOKEN/) }),
    )
  })

  it('is had with the token, which no other host is sent', async () => {
    gguf.faults.token = 'secret'
    await expect(fetchModel()).rejects.toThrow(code('HUB_UNAUTHORIZED'))
    settings = { ...settings, token: 'secret' }
    expect(fs.readFileSync(await fetchModel())).toEqual(ggufs.get('m-Q4_K_M.gguf'))
    expect(gguf.fileRequests.length).toBeGreaterThan(0)
    expect(gguf.fileRequests.filter(({ authorized }) => authorized)).toEqual([])
  })

  it.each(['hf:owner/other', 'hf:owner/name@nothing'])('%s: 404', async reference => {
    await expect(fetchModel(reference)).rejects.toThrow(code('HUB_NOT_FOUND'))
  })

  it('500: the Hub has failed', async () => {
    gguf.faults.apiStatus = 500
    await expect(fetchModel()).rejects.toThrow(code('HUB_FAILED'))
  })

  it('no server at all', async () => {
    settings = { ...settings, endpoint: 'http://127.0.0.1:9' }
    await expect(fetchModel()).rejects.toThrow(code('HUB_UNREACHABLE'))
  })
})

describe('offline', () => {
  it('uses what the cache has, without a request', async () => {
    const file = await fetchModel()
    gguf.apiRequests.length = 0
    settings = { ...settings, offline: true }
    expect(await fetchModel()).toBe(file)
    expect(gguf.apiRequests).toEqual([])
    await expect(fetchModel('hf:owner/name:Q8_0')).rejects.toThrow(code('HUB_FILE_MISSING'))
    await expect(fetchModel('hf:owner/other')).rejects.toThrow(code('HUB_OFFLINE'))
  })

  it('is what a Hub that cannot be reached comes to', async () => {
    const file = await fetchModel()
    settings = { ...settings, endpoint: 'http://127.0.0.1:9' }
    expect(await fetchModel()).toBe(file)
  })
})

describe('the cache', () => {
  it('lists models with sizes, and deletes one', async () => {
    await fetchModel('hf:owner/name:Q8_0')
    expect(cachedModels(settings.cache)).toEqual([
      { repo: 'owner/name', bytes: 50_000, incompleteBytes: 0, files: ['m-Q8_0.gguf'], directory: repo() },
    ])
    expect(() => removeCachedModel(settings.cache, 'owner/other')).toThrow(code('HUB_NOT_CACHED'))
    expect(removeCachedModel(settings.cache, 'owner/name').bytes).toBe(50_000)
    expect(cachedModels(settings.cache)).toEqual([])
    expect(fs.existsSync(repo())).toBe(false)
  })

  it('that does not exist is empty', () => {
    expect(cachedModels(path.join(root, 'nowhere'))).toEqual([])
  })
})

describe('references', () => {
  it.each([
    ['hf:a/b', { repo: 'a/b', revision: 'main', wanted: null }],
    ['hf:a/b@refs/pr/3:dir/x.gguf', { repo: 'a/b', revision: 'refs/pr/3', wanted: 'dir/x.gguf' }],
    ['hf:a.b/c-d_e:Q4_K_M', { repo: 'a.b/c-d_e', revision: 'main', wanted: 'Q4_K_M' }],
  ])('%s', (text, reference) => expect(parseHubReference(text)).toEqual({ kind: 'model', ...reference }))

  it.each([
    'hf:a',
    'hf:a/b/c',
    'hf:',
    'hf:../x',
    'hf:a/..',
    'hf:a/b@../../x',
    'hf:a/b:../x',
    'hf:a/b:',
    'hf:a b/c',
  ])('%s is refused', text => expect(() => parseHubReference(text)).toThrow(code('HUB_REFERENCE')))
})

it('settings come from the variables of huggingface_hub', () => {
  expect(
    hubSettings({ HF_HOME: '/h', HF_ENDPOINT: 'http://x/', HF_TOKEN: 't', HF_HUB_OFFLINE: '1' }),
  ).toEqual({
    endpoint: 'http://x',
    cache: path.join('/h', 'hub'),
    token: 't',
    offline: true,
  })
  expect(hubSettings({ HF_HUB_CACHE: '/c', HF_HOME: '/h' })).toMatchObject({
    cache: '/c',
    offline: false,
    token: null,
  })
  expect(hubSettings({ XDG_CACHE_HOME: '/x' }).cache).toBe(path.join('/x', 'huggingface', 'hub'))
})
