// Requests that are refused: what a client does wrong, keys and origins. Errors have OpenAI's shape.

import { describe, expect, it } from 'vitest'
import type { Server } from '../../src/serve/index.js'
import { bodyOf, post, server } from './requests.js'
import { servedModel } from './served-model.js'

describe('what a client does wrong', () => {
  it.each<[string, unknown, number, string, RegExp]>([
    ['no JSON', '{"prompt": ', 400, 'invalid_json', /not JSON/],
    ['no prompt', {}, 400, 'request_invalid', /prompt/],
    ['a field of the wrong type', { prompt: 'a', n: 'two' }, 400, 'request_invalid', /n: .*"two"/],
    ['another model', { prompt: 'a', model: 'gpt' }, 404, 'model_not_found', /tiny/],
    ['a prompt beyond the context', { prompt: 'x'.repeat(97) }, 400, 'context_length_exceeded', /97.*96/],
    ['a token that there is not', { prompt: [9999] }, 400, 'token_out_of_vocabulary', /9999/],
    ['n of one text', { prompt: 'a', n: 2, temperature: 0 }, 400, 'sampling_contradiction', /n 2/],
    ['an unknown activation', { prompt: 'a', activation: 'rleu' }, 400, 'activation_unknown', /relu/],
    [
      'a file as activation',
      { prompt: 'a', activation: './a.mjs' },
      400,
      'activation_file_not_loaded',
      /a\.mjs/,
    ],
    ['an unknown ffn', { prompt: 'a', ffn: 'denser' }, 400, 'request_invalid', /ffn: must be one of/],
    [
      'a format that there is not',
      { prompt: 'a', response_format: { type: 'xml' } },
      400,
      'request_invalid',
      /json_schema/,
    ],
    [
      'a broken pattern',
      { prompt: 'a', response_format: { type: 'regex', pattern: '((' } },
      400,
      'grammar_refused',
      /parenthesis/,
    ],
    [
      'bias that leaves no token',
      { prompt: 'a', response_format: { type: 'regex', pattern: 'x' }, logit_bias: { 120: -1e300 } },
      400,
      'logits_invalid',
      /no token/,
    ],
    ['a suffix', { prompt: 'a', suffix: 'b' }, 400, 'request_invalid', /suffix/],
    ['JSON that is too deep', `{"prompt": ${'['.repeat(100_000)}`, 400, 'invalid_json', /JSON/],
  ])('%s: one error with a code', async (_, body, status, code, message) => {
    const response = await post(server(), '/v1/completions', body)
    expect(response.status).toBe(status)
    const { error } = await bodyOf(response)
    expect(error).toMatchObject({ code, type: 'invalid_request_error' })
    expect(error.message).toMatch(message)
  })

  it.each([
    [{ prompt: 'a', n: 'two' }, 'n'],
    [{ prompt: 'a', temperature: -1 }, 'temperature'],
    [{ prompt: 'a', stream_options: { include_usage: 1 } }, 'stream_options.include_usage'],
    [{ prompt: 'x'.repeat(97) }, null],
    [{ prompt: 'a', logit_bias: { 9999: 1 } }, 'logit_bias'],
    [{ prompt: 'a', logit_bias: { x: 1 } }, 'logit_bias.x'],
    [{ prompt: 'a', repetition_penalty: -1 }, 'repetition_penalty'],
    [{ prompt: 'a', stop: '' }, 'stop'],
    [{ prompt: 'a', logprobs: 129 }, 'logprobs'],
  ])('%j: the field is named in `param`', async (body, param) => {
    const { error } = await bodyOf(post(server(), '/v1/completions', body))
    expect(error.param).toBe(param)
  })

  it('fields that nothing reads are refused with strict, else noted once', async () => {
    const body = { prompt: 'a', max_tokens: 1, guided_regex: 'x' }
    const refused = await post(server({ strict: true }), '/v1/completions', body)
    expect([refused.status, (await bodyOf(refused)).error.code]).toEqual([400, 'unknown_field'])
    const notices: string[] = []
    const app = server({ onNotice: notice => notices.push(notice) })
    for (let i = 0; i < 2; i++) expect((await post(app, '/v1/completions', body)).status).toBe(200)
    expect(notices).toEqual([expect.stringContaining('guided_regex')])
  })

  it('a body that is too large, and a path that does not exist', async () => {
    const large = await post(server({ maxBodyBytes: 100 }), '/v1/completions', { prompt: 'x'.repeat(200) })
    expect([large.status, (await bodyOf(large)).error.code]).toEqual([413, 'body_too_large'])
    const nowhere = await post(server(), '/v1/nothing', {})
    expect([nowhere.status, (await bodyOf(nowhere)).error.code]).toEqual([404, 'not_found'])
    const read = await server().fetch(new Request('http://localhost/v1/completions'))
    expect([read.status, read.headers.get('allow'), (await bodyOf(read)).error.code]).toEqual([
      ...[405, 'POST', 'method_not_allowed'],
    ])
  })

  it('a full line is 429, and says when to try again', async () => {
    const response = await post(server({ maxQueue: 0 }), '/v1/completions', { prompt: 'a' })
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '1'])
    expect((await bodyOf(response)).error).toMatchObject({ type: 'rate_limit_error' })
  })

  it('a fault of the server shows nothing of its insides', async () => {
    const broken = servedModel()
    const notices: string[] = []
    const app = server({ models: { broken }, onNotice: notice => notices.push(notice) })
    await post(app, '/tokenize', { content: 'a' })
    Object.defineProperty(broken, 'prepare', {
      value: () => {
        throw new TypeError('secret /root/path')
      },
    })
    const response = await post(app, '/v1/completions', { prompt: 'a' })
    expect(response.status).toBe(500)
    expect(JSON.stringify(await bodyOf(response))).not.toMatch(/secret|root/)
    expect(notices.join()).toMatch(/secret/)
  })
})

describe('keys and origins', () => {
  it('without a key of the server nothing is answered but its health', async () => {
    const app = server({ apiKeys: ['one', 'two'] })
    const ask = (headers: Record<string, string>) => post(app, '/tokenize', { content: 'a' }, headers)
    expect((await ask({})).status).toBe(401)
    expect((await ask({ authorization: 'Bearer three' })).status).toBe(401)
    expect((await ask({ authorization: 'Bearer two' })).status).toBe(200)
    expect((await ask({ 'x-api-key': 'one' })).status).toBe(200)
    expect((await app.fetch(new Request('http://localhost/health'))).status).toBe(200)
  })

  it('pages of other origins are let in only where asked for, also with an error', async () => {
    const preflight = (app: Server) =>
      app.fetch(
        new Request('http://localhost/v1/completions', {
          method: 'OPTIONS',
          headers: {
            origin: 'https://page.example',
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'authorization',
          },
        }),
      )
    const allowed = await preflight(server({ cors: 'https://page.example', apiKeys: ['k'] }))
    expect(allowed.ok).toBe(true)
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://page.example')
    expect(allowed.headers.get('access-control-allow-headers')).toMatch(/authorization/)
    const refused = await post(server({ cors: '*', apiKeys: ['k'] }), '/tokenize', { content: 'a' })
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, '*'])
    expect((await preflight(server())).headers.get('access-control-allow-origin')).toBeNull()
  })
})
