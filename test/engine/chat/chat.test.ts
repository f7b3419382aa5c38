// Chat templates: what Hugging Face's apply_chat_template gives, and untrusted ones that can do no harm.

import { spawnSync } from 'node:child_process'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'
import { type ChatMessage, type ChatTemplates, renderChat } from '../../../src/engine/chat/chat.js'
import { renderTemplate, restrictedProgram } from '../../../src/engine/chat/template-sandbox.js'
import { EngineModel, LanguageModel } from '../../../src/engine/index.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

function templates(named: Record<string, string>, specialTokens: Record<string, string> = {}): ChatTemplates {
  return { templates: new Map(Object.entries(named)), specialTokens }
}

const conversation: ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Two plus two?' },
]

/** The format called ChatML. */
const chatml =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
/** The format of Llama 2: alternating roles, the system's message inside the first of the user's. */
const llama2 = `
{%- if messages[0]['role'] == 'system' -%}
  {%- set first = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' -%}
  {%- set messages = messages[1:] -%}
{%- else -%}
  {%- set first = '' -%}
{%- endif -%}
{%- for m in messages -%}
  {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('Roles must alternate user/assistant/user/assistant/...') -}}
  {%- endif -%}
  {%- if m['role'] == 'user' -%}
    {{- bos_token + '[INST] ' + (first if loop.first else '') + m['content'] | trim + ' [/INST]' -}}
  {%- else -%}
    {{- ' ' + m['content'] | trim + ' ' + eos_token -}}
  {%- endif -%}
{%- endfor -%}`

describe('a conversation', () => {
  it('becomes the text that the format asks for, with or without the beginning of an answer', async () => {
    const chat = templates({ default: chatml })
    const text = '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nTwo plus two?<|im_end|>\n'
    expect(await renderChat(chat, { messages: conversation })).toBe(`${text}<|im_start|>assistant\n`)
    expect(await renderChat(chat, { messages: conversation, addGenerationPrompt: false })).toBe(text)
  })

  it('has the special tokens of the model', async () => {
    const chat = templates({ default: llama2 }, { bos_token: '<s>', eos_token: '</s>' })
    const messages = [...conversation, { role: 'assistant', content: ' 4 ' }, { role: 'user', content: 'Ok' }]
    expect(await renderChat(chat, { messages })).toBe(
      '<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nTwo plus two? [/INST] 4 </s><s>[INST] Ok [/INST]',
    )
  })

  it('that the template refuses is our error, with the reason of the template', async () => {
    const chat = templates({ default: llama2 }, { bos_token: '<s>', eos_token: '</s>' })
    const messages = [{ role: 'assistant', content: 'Hello' }]
    await expect(renderChat(chat, { messages })).rejects.toMatchObject({
      code: 'CHAT_MESSAGES_REFUSED',
      exitCode: 2,
      message: expect.stringContaining('Roles must alternate'),
    })
  })

  it('gives the template tools, documents, further fields and variables', async () => {
    const template =
      '{{ messages[0].name }} {{ tools | length }} {{ documents[0].title }} {{ thinking }} {{ messages[0].content[0].text }}'
    const messages = [{ role: 'user', name: 'Ada', content: [{ type: 'text', text: 'Hi' }] }]
    const options = { tools: [{}, {}], documents: [{ title: 'Notes' }], variables: { thinking: 'no' } }
    expect(await renderChat(templates({}), { messages, template, ...options })).toBe('Ada 2 Notes no Hi')
    // As in Hugging Face's, what is not given is none and not undefined.
    expect(await renderChat(templates({}), { messages, template: '{{ tools is none }}' })).toBe('True')
  })

  it('takes the template for tools when there are tools, and any other by its name', async () => {
    const chat = templates({ default: 'plain {{ 1 }}', tool_use: 'tools {{ 1 }}', rag: 'rag {{ 1 }}' })
    const render = (options: object) => renderChat(chat, { messages: conversation, ...options })
    expect(await render({})).toBe('plain 1')
    expect(await render({ tools: [] })).toBe('tools 1')
    expect(await render({ template: 'rag' })).toBe('rag 1')
    expect(await render({ template: 'mine {{ 2 }}' })).toBe('mine 2')
    await expect(render({ template: 'rga' })).rejects.toMatchObject({
      code: 'CHAT_TEMPLATE_UNKNOWN',
      message: expect.stringContaining('default, tool_use, rag'),
    })
  })

  it('without a template, or with several and no default, is one clear error', async () => {
    const missing = { code: 'CHAT_TEMPLATE_MISSING' }
    await expect(renderChat(templates({}), { messages: conversation })).rejects.toMatchObject(missing)
    const several = renderChat(templates({ a: 'x {{ 1 }}', b: 'y' }), { messages: conversation })
    await expect(several).rejects.toMatchObject({ ...missing, message: expect.stringContaining('a, b') })
  })

  it.each([
    [[], 'messages'],
    [[{ content: 'x' }], 'messages[0].role'],
    [[{ role: 'user', content: 'x' }, { role: 7 }], 'messages[1].role'],
    [[{ role: 'user', content: 7 }], 'messages[0].content'],
    [[{ role: 'user', content: 'x', call: () => 1 }], 'messages[0].call'],
    ['Hello', 'messages'],
  ])('%j is refused, saying where', async (messages, where) => {
    const rendered = renderChat(templates({ default: chatml }), { messages: messages as ChatMessage[] })
    await expect(rendered).rejects.toMatchObject({
      code: 'CHAT_MESSAGES_INVALID',
      message: expect.stringContaining(`${where}: `),
    })
    await expect(rendered).rejects.not.toThrow(/Invalid|expected|received|Too small/)
  })
})

describe('a template that is broken or means harm', () => {
  const small = { heapMegabytes: 32, milliseconds: 300 }

  it.each([
    ['is not Jinja', '{% if %}'],
    ['uses what is not there', '{{ nothing.at.all() }}'],
    ['calls itself for ever', '{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}'],
    ['nests too deep', `{{ ${'('.repeat(50_000)}`],
    ['is larger than any template', 'x'.repeat(2 ** 20 + 1)],
  ])('that %s is an error', async (_, source) => {
    await expect(renderTemplate(source, {})).rejects.toMatchObject({ code: 'CHAT_TEMPLATE_INVALID' })
  })

  it.each([
    ['runs for ever', '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}'],
    ['makes too much text', "{% for i in range(99999) %}{{ 'x' * 60000000 }}{% endfor %}"],
    [
      'makes too large values',
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = ns.x + [i ~ 'x' * 100000] %}{% endfor %}",
    ],
  ])('that %s is stopped, and the next one runs', async (_, source) => {
    await expect(renderTemplate(source, {}, small)).rejects.toMatchObject({ code: 'CHAT_TEMPLATE_LIMIT' })
    expect(await renderTemplate('{{ 6 * 7 }}', {})).toBe('42')
  })

  it('that makes more text than is read is an error', async () => {
    const rendered = renderTemplate('{{ x }}{{ x }}', { x: 'x'.repeat(30) }, { characters: 50 })
    await expect(rendered).rejects.toMatchObject({
      code: 'CHAT_TEMPLATE_TOO_LONG',
      message: expect.stringMatching(/60.*50/),
    })
  })

  it('sees nothing of the process: no environment, no globals, no prototypes', async () => {
    for (const name of ['process', 'require', 'globalThis', 'constructor', '__proto__']) {
      expect(await renderTemplate(`{{ ${name} is defined }} {{ x.${name} is defined }}`, { x: {} })).toBe(
        'False False',
      )
    }
  })

  it('could read no file but those of the interpreter, write none and start nothing', () => {
    const { flags, program } = restrictedProgram()
    const attempt = `
      const tried = {}
      const attempts = {
        own: () => fs.readFileSync(process.argv[1]),
        read: () => fs.readFileSync(process.execPath),
        list: () => fs.readdirSync('/'),
        write: () => fs.writeFileSync(process.argv[2], 'x'),
        spawn: () => require('node:child_process').spawnSync(process.execPath, ['-v']).error,
        worker: () => new (require('node:worker_threads').Worker)('0', { eval: true }),
      }
      const fs = require('node:fs')
      for (const [name, act] of Object.entries(attempts)) {
        try { tried[name] = act() instanceof Error ? 'error' : 'done' } catch (error) { tried[name] = error.code }
      }
      console.log(JSON.stringify(tried))`
    const target = path.join(os.tmpdir(), `flicker-template-${process.pid}`)
    const { stdout } = spawnSync(process.execPath, [...flags, '-e', attempt, program, target], {
      encoding: 'utf8',
    })
    const denied = 'ERR_ACCESS_DENIED'
    const all = { read: denied, list: denied, write: denied, spawn: denied, worker: denied }
    expect(JSON.parse(stdout)).toEqual({ own: 'done', ...all })
  })

  it('does not hold up another one', async () => {
    const endless = '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}'
    const stopped = renderTemplate(endless, {}, small).catch(error => error.code)
    expect(await renderTemplate('{{ 1 }}', {})).toBe('1')
    expect(await stopped).toBe('CHAT_TEMPLATE_LIMIT')
  })
})

/** A tokenizer.json: bytes, and the tokens of ChatML. */
function withTurns(): object {
  const json = structuredClone(bytesTokenizer().toJSON()) as {
    added_tokens: { id: number; content: string }[]
    model: { vocab: Record<string, number> }
  }
  for (const [i, content] of ['<|im_start|>', '<|im_end|>'].entries()) {
    json.added_tokens.push({ ...json.added_tokens[0], id: 257 + i, content })
    json.model.vocab[content] = 257 + i
  }
  return json
}

describe('a model with a template', () => {
  const tokenizer = tokenizerFromJson(withTurns(), 'bytes with turns')
  const config = { ...smallConfig, vocabSize: 259 }
  const engine = new EngineModel(config, tensorOf(randomTensors(config, 4)))
  const model = new LanguageModel(engine, tokenizer, { chat: templates({ default: chatml }) })
  const bytes = (text: string) => [...new TextEncoder().encode(text)]

  it('reads special tokens as their ids, and the same prompt that the rendered text is', async () => {
    const ids = [257, ...bytes('user\nHi'), 258, ...bytes('\n'), 257, ...bytes('assistant\n')]
    const messages = [{ role: 'user', content: 'Hi' }]
    expect([...tokenizer.encode(await model.renderChat(messages))]).toEqual(ids)
    const options = { maxTokens: 5, ignoreEos: true }
    const chatted = []
    for await (const { id, logprob } of model.chat(messages, options)) chatted.push([id, logprob])
    const { tokens, usage } = await model.complete(ids, options)
    expect(chatted).toEqual(tokens.map(({ id, logprob }) => [id, logprob]))
    expect(usage).toEqual({ promptTokens: ids.length, completionTokens: 5, totalTokens: ids.length + 5 })
    expect((await model.complete({ messages }, options)).tokens).toEqual(tokens)
  })

  it('takes the options of both the template and generating', async () => {
    const messages = [{ role: 'user', content: 'Hi' }]
    const chatted = []
    for await (const { id } of model.chat(messages, { template: 'Q{{ messages[0].content }}', maxTokens: 3 }))
      chatted.push(id)
    const { tokens } = await model.complete('QHi', { maxTokens: 3 })
    expect(chatted).toEqual(tokens.map(({ id }) => id))
  })
})
