// Requests that join, leave and wait at any moment: each has the text that it has alone.

import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { logSumExp } from '../../src/engine/generation/logprobs.js'
import type { GeneratedToken, GenerateManyOptions } from '../../src/engine/index.js'
import { kernels } from '../../src/kernels/index.js'
import type { Job } from '../../src/serve/job.js'
import { Scheduler, type SchedulerOptions } from '../../src/serve/scheduler.js'
import { servedConfig, servedModel, tokenizer } from './served-model.js'

const model = servedModel()

async function submit(
  scheduler: Scheduler,
  prompt: string,
  options: GenerateManyOptions,
  signal?: AbortSignal,
): Promise<Job> {
  return scheduler.submit({ prepared: await model.prepare(prompt, { ignoreEos: true, ...options }), signal })
}

async function all(job: Job): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = []
  for await (const token of job.tokens()) tokens.push(token)
  return tokens
}

/** Ids, log-probabilities and text of each sequence, by its number. */
function bySequence(tokens: readonly GeneratedToken[]) {
  const sequences = new Map<number, { id: number; logprob: number; text: string }[]>()
  for (const { sequence, id, logprob, text } of tokens) {
    sequences.set(sequence, [...(sequences.get(sequence) ?? []), { id, logprob, text }])
  }
  return sequences
}

async function alone(prompt: string, options: GenerateManyOptions) {
  const tokens: GeneratedToken[] = []
  for await (const token of model.generateMany(prompt, { ignoreEos: true, ...options })) tokens.push(token)
  return bySequence(tokens)
}

const request = fc.record({
  prompt: fc.constantFrom('Once', 'Once upon a time', 'Once upon a midnight dreary, while I', 'zebra'),
  options: fc.record({
    maxTokens: fc.integer({ min: 1, max: 12 }),
    temperature: fc.constantFrom(0, 0.8),
    seed: fc.integer({ min: 0, max: 3 }),
    activation: fc.constantFrom(undefined, 'stocha:p=0.3'),
    sequence: fc.constantFrom(0, 2),
    stop: fc.constantFrom(undefined, 'e'),
  }),
  n: fc.integer({ min: 1, max: 3 }),
  /** Turns of the event loop before it comes. */
  delay: fc.integer({ min: 0, max: 8 }),
})

describe('a request among others', () => {
  it('has the bits that it has alone, whatever comes and goes beside it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 1, maxLength: 6 }),
        fc.record({ maxBatch: fc.constantFrom(3, 32), promptPiece: fc.constantFrom(3, 128) }),
        async (requests, schedulerOptions) => {
          const scheduler = new Scheduler(model, schedulerOptions)
          const results = await Promise.all(
            requests.map(async ({ prompt, options, n, delay }) => {
              for (let turn = 0; turn < delay; turn++) await new Promise(resolve => setImmediate(resolve))
              // Several of one deterministic text are refused.
              const many = options.temperature > 0 || options.activation !== undefined ? n : 1
              return bySequence(await all(await submit(scheduler, prompt, { ...options, n: many })))
            }),
          )
          for (const [i, { prompt, options, n }] of requests.entries()) {
            const many = options.temperature > 0 || options.activation !== undefined ? n : 1
            expect(results[i]).toEqual(await alone(prompt, { ...options, n: many }))
          }
          await scheduler.close()
        },
      ),
      { numRuns: 25 },
    )
  })

  it.each([
    // 9 tokens of each need 8 passes; prompts that are read one after another begin a pass later each.
    [4, 8],
    [1, 11],
  ])('decodes together with them: one pass for all (promptPiece %i)', async (promptPiece, least) => {
    const scheduler = new Scheduler(model, { promptPiece })
    const jobs = await Promise.all(
      ['a', 'b', 'c', 'd'].map(prompt => submit(scheduler, prompt, { maxTokens: 9 })),
    )
    await Promise.all(jobs.map(all))
    const { passes, sequences, generatedTokens } = scheduler.counts
    expect([generatedTokens, sequences, passes]).toEqual([36, 32, least])
  })

  it('is not held up by a long prompt: it goes on between the pieces', async () => {
    const scheduler = new Scheduler(model, { promptPiece: 4 })
    const order: string[] = []
    const short = await submit(scheduler, 'ab', { maxTokens: 10 })
    const long = await submit(scheduler, 'x'.repeat(60), { maxTokens: 1 })
    const read = async (name: string, job: Job) => {
      for await (const _ of job.tokens()) order.push(name)
    }
    await Promise.all([read('short', short), read('long', long)])
    expect(order.indexOf('long')).toBe(order.length - 1)
  })
})

describe('a beginning that an earlier request has read', () => {
  it('is not read again, also that of an answer', async () => {
    const scheduler = new Scheduler(model)
    const first = await all(await submit(scheduler, 'Once upon', { maxTokens: 5 }))
    const answer = tokenizer.decode(first.map(({ id }) => id))
    const ids = [...tokenizer.encode('Once upon'), ...first.map(({ id }) => id), ...tokenizer.encode(' and')]
    const prepared = await model.prepare(ids, { maxTokens: 4, ignoreEos: true })
    const job = scheduler.submit({ prepared })
    const second = await all(job)
    expect(answer.length).toBeGreaterThan(0)
    // The prompt and the answer but for its last token, which had been chosen and not read.
    expect(job.cachedTokens).toBe(9 + 4)
    const tokens: number[] = []
    for await (const { id } of model.generate(ids, { maxTokens: 4, ignoreEos: true })) tokens.push(id)
    expect(second.map(({ id }) => id)).toEqual(tokens)
  })

  it('is not shared where neurons are drawn', async () => {
    const scheduler = new Scheduler(model)
    await all(await submit(scheduler, 'Once upon', { maxTokens: 2, activation: 'stocha:p=0.3', seed: 1 }))
    const job = await submit(scheduler, 'Once upon', { maxTokens: 2, activation: 'stocha:p=0.3', seed: 2 })
    await all(job)
    expect(job.cachedTokens).toBe(0)
  })
})

describe('a request whose client goes', () => {
  it.each<[string, SchedulerOptions, string]>([
    ['while it waits', { maxBatch: 1 }, 'b'],
    ['while its prompt is read', { promptPiece: 1 }, 'x'.repeat(50)],
    ['while it decodes', {}, 'b'],
  ])('is computed no further %s', async (_, options, prompt) => {
    const scheduler = new Scheduler(model, options)
    const other = await submit(scheduler, 'a', { maxTokens: 60 })
    const controller = new AbortController()
    const job = await submit(scheduler, prompt, { maxTokens: 40 }, controller.signal)
    const others = all(other)
    for (let turn = 0; turn < 12; turn++) await new Promise(resolve => setImmediate(resolve))
    controller.abort()
    const before = { ...scheduler.counts }
    const tokens = await all(job)
    expect(tokens.length).toBeLessThan(40)
    await others
    // Whatever was computed after the abort was the other's: at most 60 tokens in all, no prompt.
    expect(scheduler.counts.promptTokens).toBe(before.promptTokens)
    expect(scheduler.counts.generatedTokens).toBe(60 + tokens.length)
    expect(scheduler.load).toEqual({ running: 0, waiting: 0 })
  })
})

describe('a request that has ended', () => {
  it('listens to its signal no more: Node keeps signals that are listened to', async () => {
    const scheduler = new Scheduler(model)
    const { signal } = new AbortController()
    const job = await submit(scheduler, 'a', { maxTokens: 2 }, signal)
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    await all(job)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })
})

describe('a client that reads slowly', () => {
  it('pauses its own request and no other, and misses nothing', async () => {
    const scheduler = new Scheduler(model)
    const slow = await submit(scheduler, 'a', { maxTokens: 90 })
    const fast = await submit(scheduler, 'b', { maxTokens: 90 })
    expect(await all(fast)).toHaveLength(90)
    // It may be as far ahead of its reader as the buffer is long.
    expect(scheduler.counts.generatedTokens).toBe(90 + 64)
    expect(await all(slow)).toHaveLength(90)
  })
})

describe('more than fits', () => {
  it('is refused: a full line, too many sequences, more cache than there is', async () => {
    const scheduler = new Scheduler(model, { maxBatch: 2, maxQueue: 1 })
    const jobs = [await submit(scheduler, 'a', { maxTokens: 5 })]
    await expect(submit(scheduler, 'b', { maxTokens: 5 })).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    await all(jobs[0])
    await expect(submit(scheduler, 'b', { n: 3, temperature: 1 })).rejects.toMatchObject({ code: 'N_RANGE' })
    const { numHiddenLayers, numKeyValueHeads, hiddenSize, numAttentionHeads } = servedConfig
    const perPosition = 2 * numHiddenLayers * numKeyValueHeads * (hiddenSize / numAttentionHeads) * 4
    const small = new Scheduler(model, { cacheMemory: 20 * perPosition })
    await expect(submit(small, 'abcd', { maxTokens: 18 })).rejects.toMatchObject({ code: 'CACHE_MEMORY' })
    expect(await all(await submit(small, 'abcd', { maxTokens: 17 }))).toHaveLength(17)
  })

  it('waits for memory that others hold', async () => {
    const { numHiddenLayers, numKeyValueHeads, hiddenSize, numAttentionHeads } = servedConfig
    const perPosition = 2 * numHiddenLayers * numKeyValueHeads * (hiddenSize / numAttentionHeads) * 4
    const scheduler = new Scheduler(model, { cacheMemory: 30 * perPosition })
    const jobs = [
      await submit(scheduler, 'abcd', { maxTokens: 17 }),
      await submit(scheduler, 'efgh', { maxTokens: 17 }),
    ]
    const [first, second] = await Promise.all(jobs.map(all))
    expect([first.length, second.length]).toEqual([17, 17])
    // Not together: 2 · 20 positions would not have fitted.
    expect(scheduler.counts.sequences).toBe(scheduler.counts.passes)
  })
})

describe('the log-probabilities of a prompt', () => {
  it('are those of the logits at every position', async () => {
    const scheduler = new Scheduler(model, { promptPiece: 5 })
    const prepared = await model.prepare('Once upon a time', {})
    const job = scheduler.submit({ prepared, promptLogprobs: 2, promptOnly: true })
    expect(await all(job)).toEqual([])
    const ids = prepared.tokens
    const logits = model.logits(ids)
    const { vocabSize } = servedConfig
    const expected = ids.slice(1).map((id, i) => {
      const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize)
      return row[id] - logSumExp(kernels(), row)
    })
    expect(job.promptLogprobs.map(({ id }) => id)).toEqual(ids.slice(1))
    expect(job.promptLogprobs.map(({ logprob }) => logprob)).toEqual(expected)
    expect(job.promptLogprobs.every(({ top }) => top.length === 2 && top[0].logprob >= top[1].logprob)).toBe(
      true,
    )
  })
})

describe('closing', () => {
  it('ends what runs after the grace, and takes nothing more', async () => {
    const scheduler = new Scheduler(model)
    const job = await submit(scheduler, 'a', { maxTokens: 90 })
    const tokens = all(job)
    await scheduler.close(0)
    await expect(tokens).rejects.toMatchObject({ code: 'SERVER_CLOSING' })
    await expect(submit(scheduler, 'b', {})).rejects.toMatchObject({ code: 'SERVER_CLOSING' })
  })
})
