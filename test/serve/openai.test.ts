// The server as the client of OpenAI sees it: the real package, over a socket.

import OpenAI, { APIError } from 'openai'
import { afterAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/serve/index.js'
import { listening } from './listening.js'
import { servedConfig, servedModel, toolTemplate } from './served-model.js'

const model = servedModel(toolTemplate, { ...servedConfig, maxPositionEmbeddings: 700 })
afterAll(() => model.dispose())
const messages = [{ role: 'user' as const, content: 'Hi' }]
const weather = {
  type: 'function' as const,
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] },
  },
}

async function client(): Promise<OpenAI> {
  const port = await listening(
    createServer({ models: { tiny: model }, onNotice: () => {}, apiKeys: ['key'] }),
  )
  return new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'key', maxRetries: 0 })
}

describe('the openai package', () => {
  it('lists models and completes, whole and streamed', async () => {
    const openai = await client()
    const { data } = await openai.models.list()
    expect(data).toMatchObject([{ id: 'tiny', meta: { n_params: expect.any(Number) } }])
    const options = { model: 'tiny', prompt: 'Once', max_tokens: 9, seed: 4, temperature: 0.8 }
    const { text } = await model.complete('Once', { maxTokens: 9, seed: 4, temperature: 0.8 })
    const whole = await openai.completions.create(options)
    expect(whole.choices[0].text).toBe(text)
    let streamed = ''
    for await (const { choices } of await openai.completions.create({ ...options, stream: true })) {
      streamed += choices[0].text
    }
    expect(streamed).toBe(text)
  })

  it('streams a chat with usage at its end', async () => {
    const openai = await client()
    const options = { model: 'tiny', messages, max_completion_tokens: 9, seed: 4, n: 2 }
    const stream = await openai.chat.completions.create({
      ...options,
      stream: true,
      stream_options: { include_usage: true },
    })
    const texts = ['', '']
    let usage: unknown = null
    for await (const chunk of stream) {
      for (const { index, delta } of chunk.choices) texts[index] += delta.content ?? ''
      usage = chunk.usage ?? usage
    }
    const expected = await model.completeMany({ messages }, { maxTokens: 9, seed: 4, temperature: 1, n: 2 })
    expect(texts).toEqual(expected.map(({ text }) => text))
    expect(usage).toMatchObject({ completion_tokens: expect.any(Number) })
  })

  it('gets JSON that its schema reads', async () => {
    const openai = await client()
    const schema = {
      type: 'object',
      properties: { n: { type: 'integer', maximum: 9, minimum: 0 } },
      required: ['n'],
    }
    const { choices } = await openai.chat.completions.create({
      model: 'tiny',
      messages,
      seed: 1,
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } },
    })
    expect(choices[0].finish_reason).toBe('stop')
    expect(JSON.parse(choices[0].message.content ?? '')).toEqual({ n: expect.any(Number) })
  })

  it('gets calls of tools, the same whole and streamed, and sends what they gave', async () => {
    const openai = await client()
    const options = {
      model: 'tiny',
      messages,
      seed: 2,
      tools: [weather],
      tool_choice: 'required' as const,
      parallel_tool_calls: false,
    }
    const { choices } = await openai.chat.completions.create(options)
    const [{ message, finish_reason }] = choices
    expect([finish_reason, message.content]).toEqual(['tool_calls', null])
    const [call] = message.tool_calls ?? []
    expect(call).toMatchObject({
      id: expect.stringMatching(/^[A-Za-z0-9]{9}$/),
      type: 'function',
      function: { name: 'weather' },
    })
    const given = call.type === 'function' ? call.function.arguments : ''
    expect(['Paris', 'Rome']).toContain(JSON.parse(given).city)

    const stream = openai.chat.completions.stream(options)
    const deltas: unknown[] = []
    for await (const chunk of stream)
      for (const one of chunk.choices[0].delta.tool_calls ?? []) deltas.push(one)
    expect(deltas[0]).toEqual({
      index: 0,
      id: expect.any(String),
      type: 'function',
      function: { name: 'weather', arguments: '' },
    })
    const last = await stream.finalChatCompletion()
    const [streamed] = last.choices[0].message.tool_calls ?? []
    expect(streamed).toMatchObject({ function: { name: 'weather', arguments: given } })
    expect(last.choices[0].finish_reason).toBe('tool_calls')

    const conversation = [
      ...messages,
      message,
      { role: 'tool' as const, tool_call_id: call.id, content: 'sunny' },
    ]
    const answer = await openai.chat.completions.create({
      ...{
        model: 'tiny',
        messages: conversation,
        tools: [weather],
        max_tokens: 5,
        tool_choice: 'none' as const,
      },
    })
    expect(answer.choices[0].message.tool_calls).toBeUndefined()
  })

  it('gets embeddings of length 1, the same as numbers and as bytes', async () => {
    const openai = await client()
    const input = ['Once upon', 'a time']
    // The package asks for base64 by itself and decodes it.
    const decoded = await openai.embeddings.create({ model: 'tiny', input })
    const numbers = await openai.embeddings.create({ model: 'tiny', input, encoding_format: 'float' })
    expect(decoded.data.map(({ embedding }) => embedding)).toEqual(
      numbers.data.map(({ embedding }) => embedding),
    )
    for (const [i, { embedding }] of numbers.data.entries()) {
      const session = model.engine.session()
      const ids = model.tokenizer.encode(input[i])
      const hidden = session.prefillHidden(ids)
      const d = servedConfig.hiddenSize
      const mean = Array.from({ length: d }, (_, j) =>
        [...ids].reduce((sum, _, t) => sum + hidden[t * d + j], 0),
      )
      const length = Math.hypot(...mean)
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 6)
      for (const [j, value] of embedding.entries()) expect(value).toBeCloseTo(mean[j] / length, 6)
    }
    expect(numbers.usage).toEqual({ prompt_tokens: 15, total_tokens: 15 })
  })

  it.each<[string, (openai: OpenAI) => Promise<unknown>, number, string]>([
    ['an unknown model', o => o.completions.create({ model: 'gpt', prompt: 'a' }), 404, 'model_not_found'],
    [
      'a schema that is refused',
      o =>
        o.chat.completions.create({
          ...{ model: 'tiny', messages },
          response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'foo' } } },
        }),
      400,
      'grammar_refused',
    ],
    [
      'a tool whose schema is refused',
      o =>
        o.chat.completions.create({
          ...{ model: 'tiny', messages },
          tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', not: {} } } }],
        }),
      400,
      'grammar_refused',
    ],
    [
      'a tool that there is not',
      o =>
        o.chat.completions.create({
          ...{ model: 'tiny', messages, tools: [weather] },
          tool_choice: { type: 'function', function: { name: 'other' } },
        }),
      400,
      'tool_unknown',
    ],
    [
      'a picture',
      o =>
        o.chat.completions.create({
          model: 'tiny',
          messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }],
        }),
      400,
      'content_unsupported',
    ],
    [
      'dimensions',
      o => o.embeddings.create({ model: 'tiny', input: 'a', dimensions: 3 }),
      400,
      'dimensions_fixed',
    ],
    ['a wrong key', o => o.withOptions({ apiKey: 'other' }).models.list(), 401, 'invalid_api_key'],
  ])('throws its error for %s', async (_, ask, status, code) => {
    const error = await ask(await client()).catch(error => error)
    expect(error).toBeInstanceOf(APIError)
    expect(error).toMatchObject({ status, code })
  })
})

describe('a model whose template wants arguments as text', () => {
  it('is given them so, whatever form the client sends', async () => {
    const template =
      '{{ tools }}{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}<c>' +
      "{{ c.function.name + '<s>' + c.function.arguments + '</c>' }}{% endfor %}<e>{% else %}<u>{{ m.content }}{% endif %}{% endfor %}"
    const texts = servedModel(template, { ...servedConfig, maxPositionEmbeddings: 700 })
    const app = createServer({ models: { texts }, onNotice: () => {} })
    const answers = [{ city: 'Oslo' }, '{"city":"Oslo"}'].map(async given => {
      const tool_calls = [
        { id: 'abcdefghi', type: 'function', function: { name: 'weather', arguments: given } },
      ]
      const messages = [
        { role: 'user', content: 'a' },
        { role: 'assistant', tool_calls },
      ]
      const body = JSON.stringify({ messages, tools: [weather], max_tokens: 1, temperature: 0 })
      const response = await app.fetch(
        new Request('http://localhost/v1/chat/completions', { method: 'POST', body }),
      )
      return [
        response.status,
        ((await response.json()) as { usage: { prompt_tokens: number } }).usage.prompt_tokens,
      ]
    })
    const [first, second] = await Promise.all(answers)
    expect(first[0]).toBe(200)
    expect(second).toEqual(first)
    texts.dispose()
  })
})

describe('a model without tools', () => {
  it('refuses them, and says why', async () => {
    const plain = createServer({ models: { plain: servedModel() }, onNotice: () => {} })
    const response = await plain.fetch(
      new Request('http://localhost/v1/chat/completions', {
        method: 'POST',
        body: JSON.stringify({ messages, tools: [weather] }),
      }),
    )
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { code: 'tools_unsupported' } })
  })
})
