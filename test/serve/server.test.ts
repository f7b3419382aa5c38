// The API: shapes as OpenAI has them, errors too, and texts as the library gives them.

import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { createServer, type Server } from '../../src/serve/index.js'
import { listening } from './listening.js'
import { bodyOf, events, greedy, model, post, server } from './requests.js'
import { servedConfig, servedModel } from './served-model.js'

describe('completions', () => {
  it('have the text of the library, whole and streamed', async () => {
    const { text } = await model.complete('Once', { maxTokens: 8, ignoreEos: true })
    const app = server()
    const whole = await (
      await post(app, '/v1/completions', { model: 'tiny', prompt: 'Once', ...greedy })
    ).json()
    expect(whole).toMatchObject({
      object: 'text_completion',
      model: 'tiny',
      choices: [{ index: 0, text, logprobs: null, finish_reason: 'length' }],
      usage: { prompt_tokens: 4, completion_tokens: 8, total_tokens: 12 },
    })
    const stream = { stream: true, stream_options: { include_usage: true } }
    const parts = (await events(
      await post(app, '/v1/completions', { prompt: 'Once', ...greedy, ...stream }),
    )) as { choices: { text: string; finish_reason: string | null }[]; usage: unknown }[]
    const texts = parts.flatMap(({ choices }) => choices)
    expect(texts.map(choice => choice.text).join('')).toBe(text)
    expect(texts.map(choice => choice.finish_reason)).toEqual([...Array(7).fill(null), 'length'])
    expect(parts[parts.length - 1]).toMatchObject({ choices: [], usage: { completion_tokens: 8 } })
    expect(parts[0].usage).toBeNull()
  })

  it('are the same with any ffn, which says how neurons are computed', async () => {
    const app = server()
    const ask = { prompt: 'Once', temperature: 0.9, seed: 3, max_tokens: 12, ignore_eos: true }
    const texts = await Promise.all(
      [undefined, 'auto', 'dense', 'sparse'].map(async ffn => {
        return (await bodyOf(post(app, '/v1/completions', { ...ask, ffn }))).choices[0].text
      }),
    )
    expect(texts[0]).not.toBe('')
    expect(new Set(texts).size).toBe(1)
    const skipped = async (ffn: 'dense' | 'sparse') => {
      const { text, stats } = await model.complete('Once', {
        ...{ ffn, temperature: 0.9, seed: 3, maxTokens: 12, ignoreEos: true },
      })
      return [text, (stats.bytesSkippedPerToken ?? 0) > 0]
    }
    expect(await skipped('dense')).toEqual([texts[0], false])
    expect(await skipped('sparse')).toEqual([texts[0], true])
  })

  it('tell with neurons which were active at each token, and cost a request without them nothing', async () => {
    const body = { prompt: 'ab', ...greedy, n: 2, temperature: 1, seed: 3, activation: 'stocha:p=0.6' }
    const options = {
      maxTokens: 8,
      temperature: 1,
      seed: 3,
      n: 2,
      ignoreEos: true,
      activation: 'stocha:p=0.6',
    }
    const expected = await model.completeMany('ab', { ...options, neurons: true })
    const api = server()
    const parts = (await events(
      await post(api, '/v1/completions', { ...body, stream: true, neurons: true }),
    )) as { choices: [{ index: number; neurons: Record<string, number | string | null> }] }[]
    const { numHiddenLayers: layers, intermediateSize: width } = servedConfig
    const bits = (base64: unknown) => {
      const bytes = base64 === null ? Buffer.alloc(layers * width) : Buffer.from(String(base64), 'base64')
      return Array.from({ length: layers * width }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1)
    }
    const seen: number[][][] = [[], []]
    for (const { choices } of parts) {
      const { neurons, index } = choices[0]
      expect([neurons.layers, neurons.neurons]).toEqual([layers, width])
      expect(Number(neurons.bytes_read)).toBeGreaterThan(0)
      const negative = bits(neurons.negative)
      seen[index].push(bits(neurons.active).map((bit, i) => bit + negative[i]))
    }
    const signs = expected.map(({ tokens }) => tokens.map(({ neurons }) => [...neurons!]))
    expect(signs.flat(2).filter(sign => sign === 2).length).toBeGreaterThan(10)
    expect(seen).toEqual(signs)
    const without = (await events(
      await post(api, '/v1/completions', { ...body, stream: true }),
    )) as typeof parts
    expect(without[0].choices[0]).not.toHaveProperty('neurons')
    const whole = await bodyOf(post(api, '/v1/completions', { ...body, neurons: true }))
    expect(whole.error).toMatchObject({ code: 'request_invalid', message: 'neurons needs stream: true' })
  })

  it('of several prompts and n have their indices, and the texts of their sequences', async () => {
    const options = { seed: 5, temperature: 0.9, max_tokens: 6, n: 2, ignore_eos: true }
    const body = await bodyOf(post(server(), '/v1/completions', { prompt: ['ab', 'cd'], ...options }))
    const expected = []
    for (const prompt of ['ab', 'cd']) {
      const completions = await model.completeMany(prompt, {
        seed: 5,
        temperature: 0.9,
        maxTokens: 6,
        n: 2,
        ignoreEos: true,
      })
      expected.push(...completions.map(({ text }) => text))
    }
    expect(body.choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2, 3])
    expect(body.choices.map(({ text }: { text: string }) => text)).toEqual(expected)
  })

  it('without a seed name the one that was drawn, with which the text is the same', async () => {
    const app = server()
    const ask = { prompt: 'Once', temperature: 1, max_tokens: 12, ignore_eos: true }
    const first = await bodyOf(post(app, '/v1/completions', ask))
    const other = await bodyOf(post(app, '/v1/completions', ask))
    const again = await bodyOf(post(app, '/v1/completions', { ...ask, seed: first.seed }))
    expect(other.seed).not.toBe(first.seed)
    expect(again.choices[0].text).toBe(first.choices[0].text)
  })

  it('with echo and logprobs say how likely the prompt was, as lm-evaluation-harness asks', async () => {
    const prompt = [...Buffer.from('Once')]
    const body = { prompt, max_tokens: 1, temperature: 0, logprobs: 1, echo: true, seed: 1234 }
    const { choices } = await bodyOf(post(server(), '/v1/completions', body))
    const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0].logprobs
    expect(tokens.slice(0, 4)).toEqual(['O', 'n', 'c', 'e'])
    expect(text_offset.slice(0, 4)).toEqual([0, 1, 2, 3])
    expect(token_logprobs).toHaveLength(5)
    expect([token_logprobs[0], top_logprobs[0]]).toEqual([null, null])
    const logits = model.logits(prompt)
    const { vocabSize } = model.config
    for (const [i, id] of prompt.slice(1).entries()) {
      const row = Array.from(logits.subarray(i * vocabSize, (i + 1) * vocabSize))
      const logSum = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0))
      expect(token_logprobs[i + 1]).toBeCloseTo(row[id] - logSum, 4)
      const best = Math.max(...(Object.values(top_logprobs[i + 1]) as number[]))
      expect(best).toBeCloseTo(Math.max(...row) - logSum, 4)
    }
  })
})

describe('echo', () => {
  it('is the prompt as it was given, without a beginning that the tokenizer adds', async () => {
    const started = servedModel()
    const prepare = started.prepare.bind(started)
    Object.defineProperty(started, 'prepare', {
      value: (prompt: string, options: object) => prepare([...Buffer.from(`<s>${prompt}`)], options),
    })
    const body = { prompt: 'Once', max_tokens: 1, temperature: 0, logprobs: 0, echo: true }
    const { choices } = await bodyOf(post(server({ models: { started } }), '/v1/completions', body))
    expect(choices[0].text.slice(0, 4)).toBe('Once')
    const { tokens, text_offset } = choices[0].logprobs
    expect(tokens.slice(0, 7).join('')).toBe('<s>Once')
    expect(text_offset).toEqual([0, 0, 0, 0, 1, 2, 3, 4])
    started.dispose()
  })
})

describe('chat completions', () => {
  const messages = [{ role: 'user', content: 'Hi' }]

  it('take the template of the server, where it has one', async () => {
    const chatTemplate = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}'
    const [{ text }] = await model.completeMany(
      { messages, template: chatTemplate },
      { maxTokens: 8, ignoreEos: true },
    )
    const ask = { messages, ...greedy }
    const { choices, usage } = (await (
      await post(server({ chatTemplate }), '/v1/chat/completions', ask)
    ).json()) as { choices: { message: { content: string } }[]; usage: { prompt_tokens: number } }
    expect([choices[0].message.content, usage.prompt_tokens]).toEqual([text, '<user>Hi'.length])
  })

  it('answer by the chat template, whole and streamed', async () => {
    const [{ text }] = await model.completeMany({ messages }, { maxTokens: 8, ignoreEos: true })
    const app = server()
    const whole = await bodyOf(post(app, '/v1/chat/completions', { messages, ...greedy }))
    expect(whole).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { role: 'assistant', content: text }, finish_reason: 'length' }],
    })
    const parts = (await events(
      await post(app, '/v1/chat/completions', { messages, ...greedy, stream: true }),
    )) as { choices: { delta: { role?: string; content?: string } }[] }[]
    expect(parts[0].choices[0].delta).toEqual({ role: 'assistant', content: '' })
    expect(parts.map(({ choices }) => choices[0].delta.content).join('')).toBe(text)
  })

  it('list the log-probabilities of their tokens', async () => {
    const body = { messages, ...greedy, logprobs: true, top_logprobs: 3 }
    const { choices } = await bodyOf(post(server(), '/v1/chat/completions', body))
    const { content } = choices[0].logprobs
    expect(content).toHaveLength(8)
    for (const { logprob, top_logprobs } of content) {
      expect(top_logprobs).toHaveLength(3)
      // The most likely token was taken.
      expect(top_logprobs[0].logprob).toBe(logprob)
    }
  })
})

describe('what the server says of itself', () => {
  it('models with their context, text to tokens and back, metrics', async () => {
    const app = server()
    const get = (path: string) => app.fetch(new Request(`http://localhost${path}`))
    const { data } = await bodyOf(get('/v1/models'))
    expect(data).toMatchObject([{ id: 'tiny', object: 'model', max_model_len: 96, meta: { n_vocab: 257 } }])
    const { tokens } = await bodyOf(post(app, '/tokenize', { content: 'é' }))
    expect(tokens).toEqual([0xc3, 0xa9])
    expect(await bodyOf(post(app, '/detokenize', { tokens }))).toEqual({ content: 'é' })
    await post(app, '/v1/completions', { prompt: 'Once', ...greedy })
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toContain('flicker:prompt_tokens_total{model="tiny"} 4')
    expect(metrics).toContain('flicker:tokens_predicted_total{model="tiny"} 8')
    expect(metrics).toContain('flicker:http_requests_total{path="/v1/completions",status="200"} 1')
  })

  it('its paths, with the schemas that check their bodies', async () => {
    const app = server()
    const response = await app.fetch(new Request('http://localhost/openapi.json'))
    const document = (await response.json()) as {
      openapi: string
      paths: Record<
        string,
        Record<
          string,
          {
            requestBody: {
              content: Record<
                string,
                {
                  schema: { required: unknown; properties: Record<string, { anyOf: { anyOf: unknown[] }[] }> }
                }
              >
            }
          }
        >
      >
    }
    expect(document.openapi).toBe('3.1.0')
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) {
        const init = { method: method.toUpperCase(), ...(method === 'post' && { body: '{}' }) }
        const response = await app.fetch(
          new Request(`http://localhost${path.replace('{model}', 'tiny')}`, init),
        )
        // It is there: without what it requires, a body is refused for that.
        expect([path, response.status]).toEqual([path, method === 'post' ? 400 : 200])
      }
    }
    const { schema } = document.paths['/v1/chat/completions'].post.requestBody.content['application/json']
    expect(schema.required).toEqual(['messages'])
    expect(Object.keys(schema.properties)).toEqual(
      expect.arrayContaining(['tools', 'response_format', 'min_p']),
    )
    expect(schema.properties.tool_choice.anyOf[0].anyOf[0]).toEqual({
      type: 'string',
      enum: ['none', 'auto', 'required'],
    })
    // References within a schema would point to other places in the document.
    expect(JSON.stringify(schema)).not.toContain('$ref')
  })

  it('503 while a model loads, and for requests to it', async () => {
    let finish: (ready: typeof model) => void = () => {}
    const loading = new Promise<typeof model>(resolve => {
      finish = resolve
    })
    const app = server({ models: { tiny: loading } })
    const health = async () => (await app.fetch(new Request('http://localhost/health'))).status
    expect(await health()).toBe(503)
    const early = await post(app, '/v1/completions', { prompt: 'a' })
    expect([early.status, (await bodyOf(early)).error.code]).toEqual([503, 'model_loading'])
    finish(model)
    await loading
    expect(await health()).toBe(200)
  })
})

describe('over a socket', () => {
  /** How many tokens the server has generated, once it computes nothing any more. */
  async function tokensAtRest(app: Server): Promise<number> {
    let last = ''
    for (;;) {
      const text = await (await app.fetch(new Request('http://localhost/metrics'))).text()
      if (/num_requests_running\{model="tiny"\} 0/.test(text) && text.split('http_requests')[0] === last) {
        return Number(/tokens_predicted_total\{model="tiny"\} (\d+)/.exec(text)?.[1])
      }
      last = text.split('http_requests')[0]
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  it.each([true, false])('a client that leaves ends its request (stream: %s)', async stream => {
    const app = server()
    const port = await listening(app)
    // 32 sequences of 80 tokens: long enough to leave in the middle.
    const body = JSON.stringify({ prompt: 'ab', n: 32, max_tokens: 80, stream, ignore_eos: true })
    await new Promise<void>(resolve => {
      const request = http.request({ port, path: '/v1/completions', method: 'POST' }, response => {
        response.once('data', () => request.destroy())
      })
      request.on('error', () => {})
      request.on('close', () => resolve())
      request.end(body)
      if (!stream) setTimeout(() => request.destroy(), 60)
    })
    expect(await tokensAtRest(app)).toBeLessThan(32 * 80)
  })

  async function metric(app: Server, name: string): Promise<number> {
    const text = await (await app.fetch(new Request('http://localhost/metrics'))).text()
    return Number(new RegExp(`flicker:${name}\\{model="tiny"\\} (\\d+)`).exec(text)?.[1])
  }
  async function until(condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 1))
  }
  /** Sends a request; the function that is returned makes its client vanish. */
  function sent(port: number, body: object): () => Promise<void> {
    const options = { port, path: '/v1/completions', method: 'POST', agent: false }
    const request = http.request(options, response => response.resume().on('error', () => {}))
    request.on('error', () => {})
    request.end(JSON.stringify({ max_tokens: 40, ignore_eos: true, ...body }))
    return () =>
      new Promise(resolve => {
        request.on('close', resolve)
        request.destroy()
      })
  }
  /** Long enough for a client to leave while the prompt is read. */
  const patient = servedModel(undefined, { ...servedConfig, maxPositionEmbeddings: 6000 })

  it.each([true, false])(
    'a client that leaves while it waits is never computed for (stream: %s)',
    async stream => {
      const app = createServer({ models: { tiny: patient }, maxBatch: 1, onNotice: () => {} })
      const port = await listening(app)
      const leaveFirst = sent(port, { prompt: 'first', max_tokens: 5000 })
      await until(async () => (await metric(app, 'num_requests_running')) === 1)
      const leaveSecond = sent(port, { prompt: 'a prompt that nobody reads', stream })
      await until(async () => (await metric(app, 'num_requests_waiting')) === 1)
      await leaveSecond()
      await until(async () => (await metric(app, 'num_requests_waiting')) === 0)
      // It left the line while the first still ran.
      expect(await metric(app, 'num_requests_running')).toBe(1)
      await leaveFirst()
      await until(async () => (await metric(app, 'num_requests_running')) === 0)
      expect(await metric(app, 'prompt_tokens_total')).toBe('first'.length)
    },
  )

  it.each([true, false])(
    'a client that leaves while its prompt is read ends it (stream: %s)',
    async stream => {
      const app = createServer({ models: { tiny: patient }, promptPiece: 4, onNotice: () => {} })
      const port = await listening(app)
      const leave = sent(port, { prompt: 'x'.repeat(5000), stream })
      await until(async () => (await metric(app, 'prompt_tokens_total')) > 0)
      await leave()
      await until(async () => (await metric(app, 'num_requests_running')) === 0)
      const read = await metric(app, 'prompt_tokens_total')
      expect(read).toBeGreaterThan(0)
      expect(read).toBeLessThan(5000)
      expect(await metric(app, 'tokens_predicted_total')).toBe(0)
      // And what it holds is free for others.
      const { status } = await post(app, '/v1/completions', { prompt: 'b', max_tokens: 2 })
      expect(status).toBe(200)
    },
  )

  const page = readFileSync('docs/server.md', 'utf8')
  const commands = [...page.matchAll(/^curl (?:\\\n|[^'\n]|'[^']*')*$/gm)].map(([command]) => command)

  it('the documents show curl', () => expect(commands.length).toBeGreaterThan(1))

  it.skipIf(spawnSync('curl', ['--version']).error !== undefined).each(commands)(
    'answers as the documents show it: %s',
    async command => {
      const port = await listening(server())
      const { stdout } = await promisify(execFile)('sh', ['-c', command.replaceAll('8080', String(port))])
      expect(JSON.parse(stdout)).toMatchObject({ choices: [{ index: 0, text: expect.any(String) }] })
    },
  )
})
