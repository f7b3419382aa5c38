// Calls of tools: how a template writes them is found out from the template, answers are held to it, and read as they come.

import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type ChatPrompt, renderChat } from '../../../src/engine/chat/chat.js'
import { Grammars } from '../../../src/engine/grammar/text-grammar.js'
import {
  type AnswerPart,
  type ToolCallFormat,
  ToolCallParser,
  toolCallFormat,
  toolGrammar,
} from '../../../src/engine/index.js'
import { servedConfig, servedModel, tokenizer, toolTemplate } from '../../serve/served-model.js'

const turns = "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}{% endif %}"
/** Templates of the structure of published ones, and the format that their models were trained on. */
const templates: Record<string, [template: string, ends: string[], format: ToolCallFormat]> = {
  'a tag around each call, as Hermes, Qwen 2.5 and Qwen 3 have it': [
    toolTemplate,
    ['<|end|>'],
    {
      open: '',
      begin: '<call>\n{"name": "',
      middle: '", "arguments": ',
      end: '}\n</call>',
      separator: '\n',
      close: '',
    },
  ],
  'one call without a tag, as Llama 3.1 has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception('one') }}{% endif %}` +
      '<a>{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}' +
      "{{ '<|eot|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}",
    ['<|eot|>'],
    { open: '', begin: '{"name": "', middle: '", "parameters": ', end: '}', separator: null, close: '' },
  ],
  'a list of calls with ids, as Mistral has it': [
    `{% if tools %}[T]{{ tools | tojson }}{% endif %}${turns}{% if m.tool_calls %}[TOOL_CALLS][` +
      '{% for c in m.tool_calls %}{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}, ' +
      '"id": "{{ c.id }}"}{% if not loop.last %}, {% endif %}{% endfor %}]</s>{% endif %}{% endfor %}',
    ['</s>'],
    {
      open: '[TOOL_CALLS][',
      begin: '{"name": "',
      middle: '", "arguments": ',
      end: ', "id": "callid123"}',
      separator: ', ',
      close: ']',
    },
  ],
  'a mark, the name and a mark, as newer Mistral models have it': [
    `{% if tools %}[T]{{ tools | tojson }}{% endif %}${turns}{% for c in m.tool_calls or [] %}[TOOL_CALLS]{{ c.function.name }}` +
      '[ARGS]{{ c.function.arguments | tojson }}{% if loop.last %}</s>{% endif %}{% endfor %}{% endfor %}',
    ['</s>'],
    { open: '', begin: '[TOOL_CALLS]', middle: '[ARGS]', end: '', separator: '', close: '' },
  ],
  'a block of calls with their arguments in a fence, as DeepSeek V3 has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<calls>{% for c in m.tool_calls %}<call>function<sep>{{ c.function.name }}` +
      "{{ '\\n```json\\n' }}{{ c.function.arguments | tojson }}{{ '\\n```' }}</call>{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}</calls><eos>{% endif %}{% endfor %}",
    ['<eos>'],
    {
      open: '<calls>',
      begin: '<call>function<sep>',
      middle: '\n```json\n',
      end: '\n```</call>',
      separator: '\n',
      close: '</calls>',
    },
  ],
  'a channel to the tool, as gpt-oss has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<|start|>assistant<|channel|>commentary to=functions.{{ m.tool_calls[0].function.name }}` +
      ' <|constrain|>json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>{% endif %}{% endfor %}' +
      '{% if add_generation_prompt %}<|start|>assistant{% endif %}',
    ['<|call|>'],
    {
      open: '',
      begin: '<|channel|>commentary to=functions.',
      middle: ' <|constrain|>json<|message|>',
      end: '',
      separator: null,
      close: '',
    },
  ],
  'thoughts that the template adds are not part of it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<a><think>\n\n</think>\n\n{% for c in m.tool_calls %}` +
      '<call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</call>{% endfor %}' +
      '{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}',
    [],
    {
      open: '',
      begin: '<call>{"name": "',
      middle: '", "arguments": ',
      end: '}</call>',
      separator: '',
      close: '',
    },
  ],
}

function formatOf(template: string, ends: string[]): Promise<ToolCallFormat> {
  const chat = { templates: new Map([['default', template]]), specialTokens: {} }
  return toolCallFormat((prompt: ChatPrompt) => renderChat(chat, prompt), ends, {})
}

describe('the format of calls', () => {
  it.each(Object.entries(templates))('is found in the template: %s', async (_, [template, ends, format]) => {
    expect(await formatOf(template, ends)).toEqual(format)
  })

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
function written(
  format: ToolCallFormat,
  calls: { name: string; json: string }[],
  before: string,
  after: string,
) {
  const one = ({ name, json }: { name: string; json: string }) =>
    format.begin + name + format.middle + json + format.end.replace('callid123', 'aB3dE6gH9')
  return before + format.open + calls.map(one).join(format.separator ?? '') + format.close + after
}

function read(format: ToolCallFormat, pieces: string[]) {
  const parser = new ToolCallParser(format)
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
            const pieces: string[] = []
            for (let at = 0, i = 0; at < whole.length; at += lengths[i++ % lengths.length]) {
              pieces.push(whole.slice(at, at + lengths[i % lengths.length]))
            }
            expect(read(format, pieces)).toEqual({ text: before, calls })
          },
        ),
      )
    },
  )

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

  it.each(Object.entries(templates))('is a call where one is required: %s', async (_, [, , format]) => {
    let whole = 0
    for (let seed = 0; seed < 4; seed++) {
      const grammar = toolGrammar(format, tools, { choice: 'required', parallel: seed > 1 })
      const { text, finishReason } = await model.complete('a', {
        grammar,
        seed,
        temperature: 1,
        maxTokens: 300,
      })
      const { calls, text: rest } = read(format, [text])
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

  it.each(Object.entries(templates))(
    'may be anything, or JSON, where calls are free: %s',
    async (_, [, , format]) => {
      for (const content of [undefined, { type: 'json_object' } as const]) {
        const grammar = toolGrammar(format, tools, { choice: 'auto', parallel: true, content })
        const { text } = await model.complete('a', { grammar, seed: 5, temperature: 1, maxTokens: 40 })
        expect(text.length).toBeGreaterThan(0)
      }
    },
  )

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
