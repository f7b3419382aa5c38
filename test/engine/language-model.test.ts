// Text from a model: streamed, the same for the same seed, another for another seed, for any number of threads.

import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, type GenerateOptions, LanguageModel } from '../../src/engine/index.js'
import { defaultThreads, setThreads } from '../../src/kernels/index.js'
import { naiveForward, randomTensors, tensorOf } from './naive-model.js'
import { config, generate, languageModel, tensors, text, tokenizer } from './text-model.js'

afterAll(() => setThreads(defaultThreads()))

describe('generating', () => {
  it('at temperature 0 chooses the most likely token of the definition, step by step, with its log-probability', async () => {
    const ids = [...tokenizer.encode('Once')]
    const run = { activation: parseActivation('relu') }
    for (const { id, logprob, activeNeurons } of await generate(languageModel(), { maxTokens: 6 })) {
      const { logits, active } = naiveForward(config, tensors, ids, run)
      const last = logits[logits.length - 1]
      const largest = Math.max(...last)
      expect(last[id]).toBe(largest)
      const logSum = Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
      expect(logprob).toBeCloseTo(-logSum, 3)
      expect([...activeNeurons]).toEqual(active.map(layer => layer[layer.length - 1]))
      ids.push(id)
    }
  })

  it('with a drawn activation gives one text per seed, for any number of threads, dense and sparse', async () => {
    const drawn = { activation: 'stocha:p=0.5' }
    const texts = new Map<number, Set<string>>()
    for (const threads of [1, 2, 3]) {
      setThreads(threads)
      for (const ffn of ['sparse', 'dense'] as const) {
        for (const seed of [1, 2, 3]) {
          const seen = texts.get(seed) ?? new Set()
          texts.set(seed, seen.add(await text(languageModel({ ffn }), { ...drawn, seed })))
        }
      }
    }
    expect([...texts.values()].map(seen => seen.size)).toEqual([1, 1, 1])
    expect(new Set([...texts.values()].flatMap(seen => [...seen])).size).toBe(3)
  })

  it('the last sequence is that of 2^32 − 1', async () => {
    const last = 2 ** 32 - 1
    const [token] = await generate(languageModel(), { sequence: last, temperature: 1, maxTokens: 1 })
    expect(token.sequence).toBe(last)
  })

  it('with temperature gives one text per seed', async () => {
    const sampled = (seed: number) => text(languageModel(), { temperature: 1.5, seed })
    expect(await sampled(1)).toBe(await sampled(1))
    expect(await sampled(1)).not.toBe(await sampled(2))
  })

  it('stops after maxTokens, and when the context is full, and says which', async () => {
    const reasons = async (maxTokens: number) =>
      (await generate(languageModel(), { maxTokens })).map(token => token.finishReason)
    expect(await reasons(1)).toEqual(['length'])
    expect(await reasons(5)).toEqual([null, null, null, null, 'length'])
    // 4 of the prompt, then 60 that are read again, and the one that the last of them gives.
    expect(await reasons(61)).toEqual([...Array(60).fill(null), 'length'])
    expect(await reasons(1000)).toEqual([...Array(60).fill(null), 'context'])
  })

  it('stops after an end-of-text token, which has no text', async () => {
    const end = tokenizer.endOfText
    if (end === null) throw new Error('bytes have an end of text')
    // A head whose row for the end of text is ten times the most likely token's.
    const biased = new Map(tensors)
    const [first] = await generate(languageModel(), { maxTokens: 1 })
    const head = tensorOf(tensors)('lm_head.weight').slice()
    const d = config.hiddenSize
    const row = head.subarray(first.id * d, (first.id + 1) * d)
    head.set(
      row.map(x => 10 * x),
      end * d,
    )
    biased.set('lm_head.weight', head)
    const model = new LanguageModel(new EngineModel(config, tensorOf(biased)), tokenizer)
    const ended = await generate(model, { ignoreEos: false })
    expect(ended.map(({ id, text, finishReason }) => [id, text, finishReason])).toEqual([[end, '', 'stop']])
    expect((await generate(model, { maxTokens: 3 })).length).toBe(3)
  })

  it('ends when its signal is aborted, also from a timer', async () => {
    const aborted = AbortSignal.abort()
    expect(await generate(languageModel(), { signal: aborted })).toEqual([])
    const controller = new AbortController()
    const model = languageModel()
    let count = 0
    setTimeout(() => controller.abort(), 0)
    for (let round = 0; round < 10_000 && !controller.signal.aborted; round++) {
      for await (const _ of model.generate('a', { signal: controller.signal, ignoreEos: true })) count++
    }
    expect(controller.signal.aborted).toBe(true)
    expect(count).toBeGreaterThan(0)
  })

  it('refuses a prompt longer than the context, saying both lengths', async () => {
    await expect(generate(languageModel(), {}, 'x'.repeat(65))).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      message: expect.stringMatching(/65.*64/),
    })
    expect(await generate(languageModel(), {}, 'x'.repeat(64))).toHaveLength(1)
  })

  it('refuses what there is no memory for, before it starts, saying how much it needs', async () => {
    let available = Number.POSITIVE_INFINITY
    const model = languageModel({ memory: { available: () => available } })
    const ask = (n: number) =>
      model.completeMany('Once', { n, maxTokens: 24, temperature: 1, ignoreEos: true })
    expect((await ask(1))[0].tokens).toHaveLength(24)
    // 4 tokens of the prompt, stored once, and 23 of each continuation: the last is not read.
    available = 1000
    for (const [n, needs] of [
      [1, '27 tokens × 1 sequence needs'],
      [2, '25 tokens × 2 sequences needs'],
    ] as const) {
      await expect(ask(n)).rejects.toMatchObject({
        code: 'CACHE_MEMORY',
        message: expect.stringContaining(needs),
      })
    }
  })

  it.each([[undefined], [null], [7]])('refuses %o as a prompt', async prompt => {
    const generated = languageModel().complete(prompt as unknown as string)
    await expect(generated).rejects.toMatchObject({ code: 'PROMPT_INVALID' })
  })

  it.each([
    [{ maxTokens: 0 }, 'MAX_TOKENS_RANGE'],
    [{ maxTokens: 2.5 }, 'MAX_TOKENS_RANGE'],
    [{ seed: -1 }, 'SEED_RANGE'],
    [{ seed: 0.5 }, 'SEED_RANGE'],
    [{ sequence: 2 ** 32 }, 'SEQUENCE_RANGE'],
    [{ temperature: -1 }, 'TEMPERATURE_RANGE'],
    [{ activation: 'stocha:p=2' }, 'ACTIVATION_PARAMETER_INVALID'],
    [{ topLogprobs: -1 }, 'TOP_LOGPROBS_RANGE'],
    [{ topLogprobs: 258 }, 'TOP_LOGPROBS_RANGE'],
    [{ stop: '' }, 'STOP_INVALID'],
    [{ signal: new AbortController() as unknown as AbortSignal }, 'SIGNAL_INVALID'],
    [{ repetitionPenalty: 0 }, 'REPETITION_PENALTY_RANGE'],
    [{ logitBias: { 300: 1 } }, 'LOGIT_BIAS_TOKEN'],
    [{ topP: 0.5 }, 'SAMPLING_CONTRADICTION'],
    [{ n: 2, temperature: 1 } as GenerateOptions, 'N_RANGE'],
    [{ topp: 0.5 } as GenerateOptions, 'OPTION_UNKNOWN'],
    [{ template: 'x' } as GenerateOptions, 'OPTION_UNKNOWN'],
  ])('refuses %o', async (options, code) => {
    await expect(generate(languageModel(), options)).rejects.toMatchObject({ code })
  })

  it('an empty prompt starts a document', async () => {
    const [fromNothing] = await generate(languageModel(), { maxTokens: 1 }, '')
    const fromEnd = languageModel().generate([tokenizer.endOfText ?? -1], { maxTokens: 1 })
    expect((await fromEnd.next()).value).toMatchObject({ id: fromNothing.id, logprob: fromNothing.logprob })
  })
})

describe('what a token carries', () => {
  it('is the log-softmax of the model alone, whatever options choose it', async () => {
    const options = {
      maxTokens: 8,
      topLogprobs: 5,
      temperature: 0.5,
      topK: 3,
      repetitionPenalty: 1.5,
      logitBias: { 65: 2 },
    }
    const ids = [...tokenizer.encode('Once')]
    for (const { id, logprob, topLogprobs } of await generate(languageModel(), options)) {
      const { logits } = naiveForward(config, tensors, ids, { activation: parseActivation('relu') })
      const last = logits[logits.length - 1]
      const largest = Math.max(...last)
      const logSum = largest + Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
      expect(logprob).toBeCloseTo(last[id] - logSum, 3)
      const order = [...last.keys()].sort((a, b) => last[b] - last[a]).slice(0, 5)
      expect(topLogprobs?.map(top => top.id)).toEqual(order)
      for (const top of topLogprobs ?? []) expect(top.logprob).toBeCloseTo(last[top.id] - logSum, 3)
      expect(topLogprobs?.[0].text).toBe(new TextDecoder().decode(tokenizer.tokenBytes(order[0])))
      ids.push(id)
    }
  })

  it('has all of the vocabulary when asked, adding up to 1', async () => {
    const [{ topLogprobs = [] }] = await generate(languageModel(), { maxTokens: 1, topLogprobs: 257 })
    expect(topLogprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 5)
  })
})

describe('penalties and bias', () => {
  it('change the choice at temperature 0 as their formulas say, step by step', async () => {
    const options = {
      maxTokens: 16,
      repetitionPenalty: 1.3,
      presencePenalty: 0.4,
      frequencyPenalty: 0.7,
      logitBias: { e: 1.5 },
    }
    const prompt = [...tokenizer.encode('Once')]
    const generated: number[] = []
    for (const { id } of await generate(languageModel(), options)) {
      const ids = [...prompt, ...generated]
      const { logits } = naiveForward(config, tensors, ids, { activation: parseActivation('relu') })
      const seen = logits[logits.length - 1].map((logit, token) => {
        const biased = token === 101 ? logit + 1.5 : logit
        const repeated = !ids.includes(token) ? biased : biased < 0 ? biased * 1.3 : biased / 1.3
        const count = generated.filter(other => other === token).length
        return repeated - count * 0.7 - (count > 0 ? 0.4 : 0)
      })
      expect(id).toBe(seen.indexOf(Math.max(...seen)))
      generated.push(id)
    }
    expect(generated).not.toEqual((await generate(languageModel(), { maxTokens: 16 })).map(({ id }) => id))
  })

  it('of −Infinity forbid a token', async () => {
    const [first] = await generate(languageModel(), { maxTokens: 1 })
    const logitBias = { [first.id]: Number.NEGATIVE_INFINITY }
    const without = await generate(languageModel(), { logitBias, temperature: 2, maxTokens: 40 })
    expect(without.map(({ id }) => id)).not.toContain(first.id)
  })
})

describe('stop strings', () => {
  it('end the text before them, across tokens, and no part of them is returned', async () => {
    const whole = await text(languageModel())
    // Three characters of the text, which are as many tokens of this vocabulary.
    const stop = [...whole].slice(5, 8).join('')
    const model = languageModel()
    const tokens = await generate(model, { stop: ['never there', stop] })
    expect(tokens.map(token => token.text).join('')).toBe(whole.slice(0, whole.indexOf(stop)))
    expect(tokens.map(token => token.finishReason)).toEqual([...Array(tokens.length - 1).fill(null), 'stop'])
    const completed = await model.complete('Once', { stop, maxTokens: 24, ignoreEos: true })
    expect(completed).toMatchObject({
      text: whole.slice(0, whole.indexOf(stop)),
      stopString: stop,
      finishReason: 'stop',
      usage: { promptTokens: 4, completionTokens: tokens.length },
    })
  })

  it('that only begin at the end of the text hold nothing back from it', async () => {
    const whole = await text(languageModel())
    const last = [...whole].at(-1) ?? ''
    expect(await text(languageModel(), { stop: `${last}#never` })).toBe(whole)
  })
})

describe('several models', () => {
  it('generate at once, each its own text', async () => {
    const others = { ...config, intermediateSize: 33 }
    const first = languageModel()
    const second = new LanguageModel(new EngineModel(others, tensorOf(randomTensors(others, 2))), tokenizer)
    const [a, b] = [await text(first), await text(second)]
    expect(a).not.toBe(b)
    // Two of the first at the same time too: they share its buffers, not their state.
    expect(await Promise.all([text(first), text(second), text(first)])).toEqual([a, b, a])
  })

  it('can be disposed of one by one; generation under way then ends with a clear error', async () => {
    const [kept, gone] = [languageModel(), languageModel()]
    const under = gone.generate('Once', { ignoreEos: true })
    expect((await under.next()).done).toBe(false)
    gone.dispose()
    gone.dispose()
    for (const asked of [() => under.next(), () => text(gone), () => gone.complete('x')]) {
      await expect(asked()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' })
    }
    expect(() => gone.logits([1])).toThrow(expect.objectContaining({ code: 'MODEL_DISPOSED' }))
    expect(await text(kept)).toHaveLength((await text(languageModel())).length)
  })
})

describe('prompts', () => {
  it('longer than one block are the same as token by token', async () => {
    const longConfig = { ...config, maxPositionEmbeddings: 1500 }
    const model = new LanguageModel(new EngineModel(longConfig, tensorOf(tensors)), tokenizer)
    const ids = Array.from({ length: 1200 }, (_, i) => (i * 31) % 256)
    const session = model.engine.session()
    for (const id of ids) session.step(id)
    const expected = session.logits.indexOf(Math.max(...session.logits))
    const [{ id, activeNeurons }] = await generate(model, { maxTokens: 1 }, ids)
    expect(id).toBe(expected)
    expect(activeNeurons).toEqual(session.activeNeurons)
  })

  it('begin with the start-of-text token, unless they do already or are tokens', async () => {
    const starting = Object.assign(bytesTokenizer(), { startOfText: 7 })
    const model = new LanguageModel(new EngineModel(config, tensorOf(tensors)), starting)
    const prompted = async (prompt: string | number[]) =>
      (await model.complete(prompt, { maxTokens: 1 })).usage.promptTokens
    expect(await prompted('ab')).toBe(3)
    expect(await prompted('\x07ab')).toBe(3)
    expect(await prompted([97, 98])).toBe(2)
    expect(await prompted('')).toBe(1)
  })

  it('that end at any of several tokens do', async () => {
    const [first] = await generate(languageModel(), { maxTokens: 1 })
    const engine = new EngineModel(config, tensorOf(tensors))
    const model = new LanguageModel(engine, tokenizer, { endOfText: [250, first.id] })
    expect(await model.complete('Once')).toMatchObject({ text: '', finishReason: 'stop', stopString: null })
  })
})
