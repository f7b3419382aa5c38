// The provider under the real `ai` package: texts are the library's, objects and calls fit their schemas.

import { embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { flicker, flickerEmbedding } from '../../src/ai/index.js'
import { servedConfig, servedModel, toolTemplate } from '../serve/served-model.js'

const model = servedModel(toolTemplate, { ...servedConfig, maxPositionEmbeddings: 1500 })
afterAll(() => model.dispose())
const tiny = flicker(model, { name: 'tiny' })
const messages = [{ role: 'user' as const, content: 'Hi' }]
const options = { model: tiny, messages, seed: 3, temperature: 0.8, maxRetries: 0 }

describe('text', () => {
  it('is that of the library, whole and streamed', async () => {
    const expected = await model.complete({ messages }, { seed: 3, temperature: 0.8, maxTokens: 12 })
    const { text, usage, finishReason } = await generateText({ ...options, maxOutputTokens: 12 })
    expect(text).toBe(expected.text)
    expect([usage.inputTokens, usage.outputTokens]).toEqual([
      expected.usage.promptTokens,
      expected.tokens.length,
    ])
    expect(finishReason).toBe('length')
    const stream = streamText({ ...options, maxOutputTokens: 12 })
    let streamed = ''
    for await (const piece of stream.textStream) streamed += piece
    expect(streamed).toBe(expected.text)
    expect((await stream.usage).outputTokens).toBe(expected.tokens.length)
  })

  it('takes options of our own, and refuses what they refuse', async () => {
    const own = { flicker: { activation: 'stocha:p=0.3', min_p: 0.1 } }
    const expected = await model.complete(
      { messages },
      { seed: 3, temperature: 0.8, maxTokens: 9, activation: 'stocha:p=0.3', minP: 0.1 },
    )
    expect((await generateText({ ...options, maxOutputTokens: 9, providerOptions: own })).text).toBe(
      expected.text,
    )
    await expect(
      generateText({ ...options, providerOptions: { flicker: { activation: 'rleu' } } }),
    ).rejects.toMatchObject({ code: 'ACTIVATION_UNKNOWN' })
  })

  it('of a model without a template goes by the one that is given', async () => {
    const chatTemplate = '{{ messages[0].content }}'
    const { text } = await generateText({
      ...options,
      model: flicker(model, { chatTemplate }),
      maxOutputTokens: 9,
    })
    expect(text).toBe((await model.complete('Hi', { seed: 3, temperature: 0.8, maxTokens: 9 })).text)
  })

  it('stops when it is aborted', async () => {
    const controller = new AbortController()
    const stream = streamText({
      ...options,
      maxOutputTokens: 1000,
      abortSignal: controller.signal,
      providerOptions: { flicker: { ignore_eos: true } },
    })
    const kinds: string[] = []
    for await (const { type } of stream.fullStream) {
      kinds.push(type)
      if (type === 'text-delta') controller.abort()
    }
    expect(kinds).toContain('abort')
    expect(kinds).not.toContain('finish')
    await expect(generateText({ ...options, abortSignal: controller.signal })).rejects.toThrow(/abort/i)
  })
})

describe('objects', () => {
  const schema = z.object({
    city: z.enum(['Paris', 'Rome']),
    days: z.int().min(1).max(9),
    note: z.string().max(5),
  })

  it('fit their schema, whole and streamed', async () => {
    const { object } = await generateObject({ ...options, schema })
    expect(schema.parse(object)).toEqual(object)
    const stream = streamObject({ ...options, schema })
    let last: unknown = null
    for await (const partial of stream.partialObjectStream) last = partial
    expect(last).toEqual(object)
  })
})

describe('tools', () => {
  it('are called with arguments that fit, and the conversation goes on with their results', async () => {
    const asked: unknown[] = []
    const inputSchema = z.object({ city: z.enum(['Paris', 'Rome']) })
    const weather = tool({
      description: 'weather',
      inputSchema,
      execute: input => {
        asked.push(input)
        return { sunny: true }
      },
    })
    const { steps } = await generateText({
      ...options,
      tools: { weather },
      stopWhen: stepCountIs(2),
      maxOutputTokens: 400,
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
    })
    expect(steps[0].finishReason).toBe('tool-calls')
    expect(steps[0].toolCalls[0]).toMatchObject({ toolName: 'weather', input: { city: expect.any(String) } })
    expect(asked.length).toBeGreaterThan(0)
    for (const input of asked) expect(inputSchema.parse(input)).toEqual(input)
    expect(steps[1].toolCalls).toEqual([])
    const stream = streamText({
      ...options,
      tools: { weather: tool({ inputSchema }) },
      toolChoice: { type: 'tool', toolName: 'weather' },
      maxOutputTokens: 400,
    })
    expect((await stream.toolCalls)[0]).toMatchObject({
      toolName: 'weather',
      input: steps[0].toolCalls[0].input,
    })
  })
})

describe('embeddings', () => {
  it('are of length 1, and the same for the same text', async () => {
    const { embeddings } = await embedMany({ model: flickerEmbedding(model), values: ['a b', 'c', 'a b'] })
    expect(embeddings.map(values => Math.hypot(...values))).toEqual(
      embeddings.map(() => expect.closeTo(1, 6)),
    )
    expect(embeddings[0]).toEqual(embeddings[2])
    expect(embeddings[0]).not.toEqual(embeddings[1])
  })
})
