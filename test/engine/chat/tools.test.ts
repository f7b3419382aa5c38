// Calls of tools: how a template writes them is found out from the template, answers are held to it, and read as they come.

import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type ChatPrompt, renderChat } from '../../../src/engine/chat/chat.js'
import { Grammars } from '../../../src/engine/grammar/text-grammar.js'
import {
  type AnswerPart,
  type JsonCalls,
  type Tool,
  type ToolCallFormat,
  ToolCallParser,
  toolCallFormat,
  toolGrammar,
} from '../../../src/engine/index.js'
import { servedConfig, servedModel, tokenizer, toolTemplate } from '../../serve/served-model.js'
import { formats, named, templates, turns } from './tool-templates.js'

function formatOf(template: string, ends: string[]): Promise<ToolCallFormat> {
  const chat = { templates: new Map([['default', template]]), specialTokens: {} }
  return toolCallFormat((prompt: ChatPrompt) => renderChat(chat, prompt), ends, {})
}

describe('the format of calls', () => {
  it.each([...Object.entries(templates), ...Object.entries(named)])(
    'is found in the template: %s',
    async (_, [template, ends, format]) => {
      expect(await formatOf(template, ends)).toEqual(format)
    },
  )

  it.each([
    ['that has no tools', `${turns}{% endfor %}`],
    ['that names tools and has no calls', `{{ tools }}${turns}{% endfor %}`],
    [
      'whose arguments are not JSON',
      `{{ tools }}${turns}{% for c in m.tool_calls or [] %}<f={{ c.function.name }}>{% for k, v in c.function.arguments | items %}<{{ k }}>{{ v }}{% endfor %}{% endfor %}{% endfor %}`,
    ],
  ])('is refused of a template %s', async (_, template) => {
    await expect(formatOf(template, [])).rejects.toMatchObject({ code: 'TOOLS_UNSUPPORTED' })
  })
})

/** As text, and as what a reader is told. */
function written(format: JsonCalls, calls: { name: string; json: string }[], before: string, after: string) {
  const one = ({ name, json }: { name: string; json: string }) =>
    format.begin + name + format.middle + json + format.end.replace('callid123', 'aB3dE6gH9')
  return before + format.open + calls.map(one).join(format.separator ?? '') + format.close + after
}

function read(format: ToolCallFormat, pieces: string[], tools?: readonly Tool[]) {
  const parser = new ToolCallParser(format, tools)
  const parts: AnswerPart[] = [...pieces.flatMap(piece => parser.push(piece)), ...parser.end()]
  const calls: { name: string; json: string }[] = []
  let text = ''
  for (const part of parts) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'call') calls[part.index] = { name: part.name, json: '' }
    else calls[part.index].json += part.text
  }
  return { text, calls }
}

/** In pieces of these lengths, again and again. */
function cut(whole: string, lengths: readonly number[]): string[] {
  const pieces: string[] = []
  for (let at = 0, i = 0; at < whole.length; i++) {
    pieces.push(whole.slice(at, at + lengths[i % lengths.length]))
    at += lengths[i % lengths.length]
  }
  return pieces
}

/** What looks like the form itself. */
const hostileTexts = [
  '</parameter>',
  '<tool_call>f',
  '"), g(a="',
  '\\n\\',
  '</arg_value>',
  '[f(a=1)]',
  "it's 'so'",
  '\n</function>\n',
  'True',
  '12',
  '😀 é',
]
const typedParameters = {
  type: 'object',
  properties: {
    text: { type: 'string' },
    count: { $ref: '#/$defs/count' },
    ratio: { type: 'number' },
    flag: { type: 'boolean' },
    list: { type: 'array' },
    map: { type: 'object' },
    nothing: { type: 'null' },
    either: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
  },
  $defs: { count: { type: 'integer' } },
}
const typedTools: Tool[] = ['f', 'get_weather'].map(name => ({ name, parameters: typedParameters }))

describe('an answer', () => {
  it.each(Object.values(templates).map(([, , format]) => format))(
    'is read the same however it is cut into pieces: %o',
    format => {
      fc.assert(
        fc.property(
          fc.array(
            fc.record({
              name: fc.constantFrom('f', 'get_weather'),
              json: fc
                .dictionary(fc.string(), fc.oneof(fc.string(), fc.constant([{ a: '}"\\' }])))
                .map(v => JSON.stringify(v)),
            }),
            { minLength: 1, maxLength: format.separator === null ? 1 : 3 },
          ),
          fc.constantFrom('', 'Well. ', '< [ {'),
          fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
          (calls, before, lengths) => {
            const whole = written(format, calls, before, '\n')
            expect(read(format, cut(whole, lengths))).toEqual({ text: before, calls })
          },
        ),
      )
    },
  )

  it.each(Object.entries(named))(
    'with arguments one by one is read as the types of the tool say: %s',
    (_, [, , format, say]) => {
      const value = {
        text: fc.oneof(fc.string(), fc.constantFrom(...hostileTexts)).filter(text => !text.includes('>\n<')),
        count: fc.integer(),
        ratio: fc.constantFrom(0.5, -2e-7, 3),
        flag: fc.boolean(),
        list: fc.array(fc.oneof(fc.constantFrom(...hostileTexts.slice(0, 3)), fc.boolean())),
        map: fc.constant({ a: [{ b: ')"\\', c: null }] }),
        nothing: fc.constant(null),
        either: fc.oneof(fc.integer(), fc.constantFrom('a text', '1 2', 'null and void')),
      }
      fc.assert(
        fc.property(
          fc.array(
            fc.record({
              name: fc.constantFrom('f', 'get_weather'),
              arguments: fc.record(value, { requiredKeys: [] }),
            }),
            {
              minLength: 1,
              maxLength: 3,
            },
          ),
          fc.constantFrom('', 'Well. ', '< [ {'),
          fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
          (calls, before, lengths) => {
            const whole = `${before}${say(calls)}\n`
            const { text, calls: got } = read(format, cut(whole, lengths), typedTools)
            expect(text).toBe(before)
            expect(got.map(({ name, json }) => ({ name, arguments: JSON.parse(json) }))).toEqual(
              calls.map(({ name, arguments: values }) => ({ name, arguments: { ...values } })),
            )
          },
        ),
        { numRuns: 60 },
      )
    },
  )

  it.each(Object.entries(named))(
    'of an unknown tool, or cut off at any character, is no error: %s',
    (_, [, , format, say]) => {
      const whole = say([{ name: 'f', arguments: { text: 'a "b" \\ c', count: 12, list: ['x'] } }])
      const complete = read(format, [whole], typedTools).calls[0].json
      for (let length = 0; length < whole.length; length++) {
        const [call] = read(format, cut(whole.slice(0, length), [3]), typedTools).calls
        // What has been told is the beginning of what the whole says.
        if (call !== undefined) expect(complete.startsWith(call.json)).toBe(true)
      }
      const unknown = say([{ name: 'g', arguments: { text: 'a' } }])
      const { calls, text } = read(format, [unknown], typedTools)
      // Where only a name says that it is a call, one that there is not is text.
      expect(calls.length === 0 ? text : calls).toEqual(
        calls.length === 0 ? unknown : [{ name: 'g', json: '{"text": "a"}' }],
      )
    },
  )

  it('may begin with the mark that Llama 3 writes and its template does not', () => {
    const [, , format] = templates['one call without a tag, as Llama 3.1 has it']
    const whole = '<|python_tag|>{"name": "f", "parameters": {"a": 1}}'
    for (const length of [1, 5, 100]) {
      expect(read(format, cut(whole, [length]))).toEqual({
        text: '',
        calls: [{ name: 'f', json: '{"a": 1}' }],
      })
    }
    expect(read(format, ['<|python_tag|>print(1)'])).toEqual({ text: '<|python_tag|>print(1)', calls: [] })
  })

  it('without calls is its text, also where it looks like the beginning of one', () => {
    const [[, , format]] = Object.values(templates)
    for (const text of ['', 'a < b', '<call', 'x <call>', 'a\n\nb '])
      expect(read(format, [...text])).toEqual({ text, calls: [] })
  })

  it('that is cut off in a call has the call as far as it came', () => {
    const [[, , format]] = Object.values(templates)
    expect(read(format, ['<call>\n{"name": "f", "arguments": {"a": [1, ']).calls).toEqual([
      { name: 'f', json: '{"a": [1, ' },
    ])
  })
})

describe('what a model writes', () => {
  const model = servedModel(toolTemplate, { ...servedConfig, maxPositionEmbeddings: 400 })
  afterAll(() => model.dispose())
  const parameters = {
    type: 'object',
    properties: { n: { type: 'integer', minimum: 0, maximum: 99 } },
    required: ['n'],
  }
  const tools = [{ name: 'one', parameters }, { name: 'two', parameters }, { name: 'three' }]
  const reads = z.strictObject({ n: z.int().min(0).max(99) })

  it.each(formats)('is a call where one is required: %s', async (_, format) => {
    let whole = 0
    for (let seed = 0; seed < 4; seed++) {
      const grammar = toolGrammar(format, tools, { choice: 'required', parallel: seed > 1 })
      const { text, finishReason } = await model.complete('a', {
        grammar,
        seed,
        temperature: 1,
        maxTokens: 300,
      })
      const { calls, text: rest } = read(format, [text], tools)
      expect(rest).toBe('')
      expect(tools.map(({ name }) => name)).toContain(calls[0].name)
      if (finishReason !== 'stop') continue
      whole++
      if (seed <= 1) expect(calls).toHaveLength(1)
      for (const { name, json } of calls) {
        if (name === 'three') expect(JSON.parse(json)).toEqual({})
        else expect(reads.safeParse(JSON.parse(json)), json).toMatchObject({ success: true })
      }
    }
    expect(whole).toBeGreaterThan(0)
  })

  it('is a call of the tool that was named', async () => {
    const [[, , format]] = Object.values(templates)
    const grammar = toolGrammar(format, tools, { choice: { name: 'two' }, parallel: false })
    const { text } = await model.complete('a', { grammar, seed: 1, temperature: 1, maxTokens: 200 })
    expect(read(format, [text]).calls[0].name).toBe('two')
    expect(() => toolGrammar(format, tools, { choice: { name: 'four' }, parallel: false })).toThrow(
      expect.objectContaining({ code: 'TOOL_UNKNOWN' }),
    )
  })

  it.each(formats)('may be anything, or JSON, where calls are free: %s', async (_, format) => {
    for (const content of [undefined, { type: 'json_object' } as const]) {
      const grammar = toolGrammar(format, tools, { choice: 'auto', parallel: true, content })
      const { text } = await model.complete('a', { grammar, seed: 5, temperature: 1, maxTokens: 40 })
      expect(text.length).toBeGreaterThan(0)
    }
  })

  const city = {
    type: 'object',
    properties: {
      city: { type: 'string' },
      unit: { enum: ['C', 'F', ''] },
      days: { type: 'integer', minimum: 0, maximum: 9 },
      on: { type: 'boolean' },
    },
    required: ['city'],
  }
  const opening = '<tool_call>\n<function=get>\n<parameter=city>\nNew </parameter> York\n</parameter>\n'
  const closing = '</function>\n</tool_call>'
  const [qwen, , , llama, olmo] = Object.values(named).map(([, , format]) => format)

  it.each<[string, ToolCallFormat, 'auto' | 'required', string, string | null]>([
    ['the least', qwen, 'required', opening + closing, null],
    ['no argument', qwen, 'required', `<tool_call>\n<function=none>\n${closing}\n${opening}${closing}`, null],
    [
      'all',
      qwen,
      'required',
      `${opening}<parameter=unit>\n\n</parameter>\n<parameter=on>\nTrue\n</parameter>\n${closing}`,
      null,
    ],
    ['a missing argument', qwen, 'required', `<tool_call>\n<function=get>\n${closing}`, '/'],
    ['a value out of range', qwen, 'required', `${opening}<parameter=days>\n12`, '2'],
    ['an unknown tool', qwen, 'required', '<tool_call>\n<function=has', 'h'],
    [
      'text around calls',
      qwen,
      'auto',
      `Hi <tool_call>\n<function=none>\n${closing}\n${opening}${closing} there`,
      null,
    ],
    ['calls', llama, 'required', '[get(city="a \\"b\\", c", unit="F", on=true), none()]', null],
    ['text that is no call', llama, 'auto', 'See [1] [get] and [get(city="x")]', null],
    ['an unknown argument', llama, 'auto', 'See [get(cty', 't'],
    ['calls', olmo, 'required', "<calls>\nget(city='it\\'s', unit='C', on=True)\nnone()\n</calls>", null],
  ])('one by one, its arguments are held to the tool: %s (%#)', async (_, format, choice, text, stop) => {
    const grammars = new Grammars(tokenizer, [256])
    const offered = [{ name: 'get', parameters: city }, { name: 'none' }]
    const follow = await grammars.open(toolGrammar(format, offered, { choice, parallel: true }))
    const allows = (id: number) =>
      follow.allowed === null || (follow.allowed[id >> 5] & (1 << (id & 31))) !== 0
    let refused: string | null = null
    for (const byte of Buffer.from(text)) {
      if (!allows(byte)) {
        refused = String.fromCharCode(byte)
        break
      }
      follow.accept(byte)
      await follow.ready()
    }
    expect(refused).toBe(stop)
    if (stop === null) expect(allows(256)).toBe(true)
    grammars.dispose()
  })

  it.each([
    ['more than properties', { type: 'object', properties: {}, minProperties: 1 }, /minProperties/],
    ['a name with a bracket', { type: 'object', properties: { 'a>b': { type: 'string' } } }, /"a>b"/],
  ])('one by one, a schema with %s is refused', (_, refused, message) => {
    const tool = { name: 'f', parameters: refused }
    expect(() => toolGrammar(qwen, [tool], { choice: 'auto', parallel: true })).toThrow(
      expect.objectContaining({ code: 'GRAMMAR_REFUSED', message: expect.stringMatching(message) }),
    )
  })

  it('is held to names and arguments in a call that it begins by itself', async () => {
    const [[, , format]] = Object.values(templates)
    const grammars = new Grammars(tokenizer, [256])
    const text = await grammars.open(toolGrammar(format, tools, { choice: 'auto', parallel: true }))
    const follow = async (more: string) => {
      for (const byte of Buffer.from(more)) {
        text.accept(byte)
        await text.ready()
      }
      return [...Array(257).keys()]
        .filter(id => text.allowed !== null && (text.allowed[id >> 5] & (1 << (id & 31))) !== 0)
        .map(id => (id === 256 ? 'end' : String.fromCharCode(id)))
    }
    expect(await follow('Well <call')).toHaveLength(257)
    expect(await follow('>\n{"name": "')).toEqual(['o', 't'])
    expect(await follow('two", "arguments": {"n": ')).toEqual(expect.arrayContaining(['0', '9']))
    expect(await follow('12')).not.toContain('3')
    expect(await follow('}}\n</call>')).toHaveLength(257)
    grammars.dispose()
  })
})
