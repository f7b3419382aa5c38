// Bodies that no client should send: one error with a code each, and the server goes on. FLICKER_FULL=1: 10,000 of each kind.

import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/serve/index.js'
import { servedModel } from './served-model.js'

const numRuns = process.env.FLICKER_FULL === '1' ? 10_000 : 150
const timeout = process.env.FLICKER_FULL === '1' ? 1_200_000 : 60_000
const model = servedModel()
afterAll(() => model.dispose())
const faults: string[] = []
const app = createServer({ models: { tiny: model }, onNotice: notice => faults.push(notice) })
const paths = ['/v1/completions', '/v1/chat/completions', '/v1/embeddings', '/tokenize', '/detokenize']

async function answer(path: string, body: string | Uint8Array): Promise<{ status: number; code: unknown }> {
  const response = await app.fetch(
    new Request(`http://localhost${path}`, {
      method: 'POST',
      body: body as string,
      headers: { 'content-type': 'application/json' },
    }),
  )
  const { error } = (await response.json()) as { error?: { code: unknown } }
  return { status: response.status, code: error?.code }
}

async function expectRefused(path: string, body: string | Uint8Array): Promise<void> {
  const { status, code } = await answer(path, body)
  expect([status, typeof code]).toEqual([400, 'string'])
}

afterAll(() => expect(faults.filter(fault => /failed/.test(fault))).toEqual([]))

/** A body that is answered, and values that are wrong in each of its fields. */
const valid = {
  '/v1/completions': { prompt: 'a', max_tokens: 1 },
  '/v1/chat/completions': { messages: [{ role: 'user', content: 'a' }], max_tokens: 1 },
  '/v1/embeddings': { input: 'a' },
}
const notNumber = fc.oneof(fc.string(), fc.boolean(), fc.constant([]), fc.constant({}))
const negative = fc.integer({ max: -1 })
const notText = fc.oneof(fc.integer(), fc.boolean(), fc.constant({}), fc.constant([[]]))
const notBoolean = fc.oneof(fc.integer(), fc.string(), fc.constant([]))
const wrong: Record<keyof typeof valid, Record<string, fc.Arbitrary<unknown>>> = {
  '/v1/completions': {
    prompt: fc.oneof(
      fc.boolean(),
      fc.constant([]),
      fc.constant({}),
      fc.constant([[]]),
      fc.constant([1.5]),
      fc.constant([['a']]),
    ),
    max_tokens: fc.oneof(notNumber, negative),
    temperature: fc.oneof(notNumber, negative),
    top_p: fc.oneof(notNumber, fc.constant(0), fc.constant(1.01)),
    min_p: fc.oneof(notNumber, negative),
    top_k: fc.oneof(notNumber, negative, fc.constant(1.5)),
    n: fc.oneof(notNumber, fc.constant(0), fc.constant(1e9)),
    seed: fc.oneof(notNumber, negative, fc.constant(1e300)),
    stop: fc.oneof(notText, fc.constant(''), fc.constant([1])),
    logit_bias: fc.oneof(
      fc.integer(),
      fc.string(),
      fc.constant({ a: 1 }),
      fc.constant({ 5: 'x' }),
      fc.constant({ 99999: 1 }),
    ),
    presence_penalty: notNumber,
    repetition_penalty: fc.oneof(notNumber, fc.constant(0)),
    echo: notBoolean,
    stream: notBoolean,
    logprobs: fc.oneof(notNumber, negative, fc.constant(1e6)),
    activation: fc.oneof(
      fc.integer(),
      fc.constant('x'.repeat(1e4)),
      fc.constant('stocha:p=7'),
      fc.constant('/etc/passwd.js'),
    ),
    ffn: fc.oneof(fc.string(), fc.integer()),
    response_format: fc.oneof(
      fc.string(),
      fc.constant({}),
      fc.constant({ type: 'x' }),
      fc.constant({ type: 'json_schema' }),
    ),
    model: fc.oneof(fc.integer(), fc.constant({})),
  },
  '/v1/chat/completions': {
    messages: fc.oneof(
      ...[
        [],
        [{}],
        'x',
        [1],
        [{ role: 5 }],
        [{ role: 'user', content: 5 }],
        [{ role: 'user', content: [{ type: 'image_url' }] }],
      ].map(v => fc.constant(v)),
      ...[
        [{ role: 'assistant', tool_calls: 'x' }],
        [{ role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: '{' } }] }],
      ].map(v => fc.constant(v)),
    ),
    tools: fc.oneof(
      ...['x', [1], [{ type: 'function' }], [{ type: 'function', function: { name: 'a b' } }]].map(v =>
        fc.constant(v),
      ),
    ),
    tool_choice: fc.oneof(...['must', 5, { type: 'function' }, 'required'].map(v => fc.constant(v))),
    top_logprobs: fc.oneof(notNumber, negative, fc.constant(3)),
    logprobs: notBoolean,
    max_completion_tokens: fc.oneof(notNumber, negative, fc.constant(0)),
    stream_options: fc.oneof(fc.string(), fc.constant({ include_usage: 'yes' })),
  },
  '/v1/embeddings': {
    input: fc.oneof(
      fc.boolean(),
      fc.integer(),
      fc.constant([]),
      fc.constant({}),
      fc.constant('x'.repeat(97)),
    ),
    encoding_format: fc.oneof(fc.string(), fc.integer()),
    dimensions: fc.oneof(notNumber, fc.constant(0), fc.constant(3)),
  },
}
const mutations = fc
  .constantFrom(
    ...Object.entries(wrong).flatMap(([path, fields]) =>
      Object.keys(fields).map(field => [path, field] as const),
    ),
  )
  .chain(([path, field]) =>
    wrong[path as keyof typeof valid][field].map(value => ({
      path: path as keyof typeof valid,
      field,
      value,
    })),
  )

describe('a body', () => {
  it('of random bytes is refused', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.uint8Array({ maxLength: 300 }), async (path, bytes) => {
        await expectRefused(path, bytes)
      }),
      { numRuns },
    )
  })

  it('of random JSON is refused', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.json(), async (path, text) => {
        await expectRefused(path, text)
      }),
      { numRuns },
    )
  })

  it('with a value of the wrong type is refused', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(mutations, async ({ path, field, value }) => {
        await expectRefused(path, JSON.stringify({ ...valid[path], [field]: value }))
      }),
      { numRuns },
    )
  })

  it('that is nested without end, in any field, is answered', { timeout }, async () => {
    const fields = [
      'x',
      'prompt',
      'messages',
      'tools',
      'response_format',
      'chat_template_kwargs',
      'logit_bias',
      'input',
      'stop',
    ]
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(valid)),
        fc.constantFrom(...fields),
        fc.integer({ min: 1, max: 20_000 }),
        fc.constantFrom(['[', ']'], ['{"a":', '}'], ['{"type":"object","properties":{"a":', '}}']),
        async (path, field, depth, [open, close]) => {
          const deep = `${open.repeat(depth)}1${close.repeat(depth)}`
          const base = JSON.stringify(valid[path as keyof typeof valid]).slice(0, -1)
          const { status, code } = await answer(path, `${base}, "${field}": ${deep}}`)
          expect([200, 400, 413]).toContain(status)
          if (status !== 200) expect(code).toBeTypeOf('string')
          const wrapped = `{"type": "json_schema", "json_schema": {"schema": ${deep}}}`
          expect([200, 400, 413]).toContain(
            (await answer(path, `${base}, "response_format": ${wrapped}}`)).status,
          )
        },
      ),
      { numRuns: Math.min(numRuns, 2_000) },
    )
  })

  it('that is huge is refused', async () => {
    expect(await answer('/tokenize', JSON.stringify({ content: 'x'.repeat(5 * 2 ** 20) }))).toEqual({
      status: 413,
      code: 'body_too_large',
    })
    const list = JSON.stringify({ prompt: Array(300_000).fill('a') })
    await expectRefused('/v1/completions', list)
    await expectRefused('/v1/embeddings', JSON.stringify({ input: Array(300_000).fill('a') }))
  })
})
