// Chat templates of the structure of published ones, with the form of calls that their models were trained on.

import type { JsonCalls, ToolCallFormat } from '../../../src/engine/index.js'
import { toolTemplate } from '../../serve/served-model.js'

export const turns = "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}{% endif %}"
/** Templates of the structure of published ones, and the format that their models were trained on. */
export const templates: Record<string, [template: string, ends: string[], format: JsonCalls]> = {
  'a tag around each call, as Hermes, Qwen 2.5 and Qwen 3 have it': [
    toolTemplate,
    ['<|end|>'],
    {
      style: 'json',
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
    {
      style: 'json',
      open: '',
      begin: '{"name": "',
      middle: '", "parameters": ',
      end: '}',
      separator: null,
      close: '',
    },
  ],
  'a list of calls with ids, as Mistral has it': [
    `{% if tools %}[T]{{ tools | tojson }}{% endif %}${turns}{% if m.tool_calls %}[TOOL_CALLS][` +
      '{% for c in m.tool_calls %}{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}, ' +
      '"id": "{{ c.id }}"}{% if not loop.last %}, {% endif %}{% endfor %}]</s>{% endif %}{% endfor %}',
    ['</s>'],
    {
      style: 'json',
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
    { style: 'json', open: '', begin: '[TOOL_CALLS]', middle: '[ARGS]', end: '', separator: '', close: '' },
  ],
  'a block of calls with their arguments in a fence, as DeepSeek V3 has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<calls>{% for c in m.tool_calls %}<call>function<sep>{{ c.function.name }}` +
      "{{ '\\n```json\\n' }}{{ c.function.arguments | tojson }}{{ '\\n```' }}</call>{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}</calls><eos>{% endif %}{% endfor %}",
    ['<eos>'],
    {
      style: 'json',
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
      style: 'json',
      open: '',
      begin: '<|channel|>commentary to=functions.',
      middle: ' <|constrain|>json<|message|>',
      end: '',
      separator: null,
      close: '',
    },
  ],
  'arguments as text, as DeepSeek V3.1 wants them': [
    `{{ tools }}${turns}{% if m.tool_calls %}<calls>{% for c in m.tool_calls %}<call>{{ c.function.name + '<sep>' + c.function.arguments + '</call>' }}` +
      '{% endfor %}</calls><eos>{% endif %}{% endfor %}',
    ['<eos>'],
    {
      style: 'json',
      open: '<calls>',
      begin: '<call>',
      middle: '<sep>',
      end: '</call>',
      separator: '',
      close: '</calls>',
      textArguments: true,
    },
  ],
  'thoughts that the template adds are not part of it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<a><think>\n\n</think>\n\n{% for c in m.tool_calls %}` +
      '<call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</call>{% endfor %}' +
      '{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}',
    [],
    {
      style: 'json',
      open: '',
      begin: '<call>{"name": "',
      middle: '", "arguments": ',
      end: '}</call>',
      separator: '',
      close: '',
    },
  ],
}

const marks = (mark: string) => ({
  ...{ string: mark, number: mark, boolean: mark, array: mark, object: mark, null: mark },
})
const raw = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
const python = (value: unknown, quote: string) => {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value !== 'string') return JSON.stringify(value)
  const text = JSON.stringify(value).slice(1, -1)
  return quote === '"' ? `"${text}"` : `'${text.replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}
type Arguments = Readonly<Record<string, unknown>>
interface Written {
  readonly name: string
  readonly arguments: Arguments
}
const each = (values: Arguments, one: (key: string, value: unknown) => string, between = '') =>
  Object.entries(values)
    .map(([key, value]) => one(key, value))
    .join(between)
const names = '{% for k, v in c.function.arguments | items %}'

/** The same for forms with arguments one by one, and how a model that was trained on them writes calls. */
export const named: Record<
  string,
  [template: string, ends: string[], format: ToolCallFormat, say: (calls: Written[]) => string]
> = {
  'a tag for each argument, as Qwen3-Coder has it': [
    `{{ tools }}${turns}{% for c in m.tool_calls or [] %}{{ '\n' }}<tool_call>\n<function={{ c.function.name }}>\n${names}<parameter={{ k }}>\n` +
      "{{ v | tojson if v is mapping or (v is sequence and v is not string) else v | string }}{{ '\n' }}</parameter>\n{% endfor %}" +
      '</function>\n</tool_call>{% endfor %}{% if m.tool_calls %}<end>{% endif %}{% endfor %}',
    ['<end>'],
    {
      style: 'tagged',
      open: '',
      begin: '<tool_call>\n<function=',
      head: '>\n<parameter=',
      middles: marks('>\n'),
      pythonNames: true,
      between: '\n</parameter>\n<parameter=',
      empty: '>\n</function>\n</tool_call>',
      end: '\n</parameter>\n</function>\n</tool_call>',
      separator: '\n',
      close: '',
    },
    calls =>
      calls
        .map(
          ({ name, arguments: values }) =>
            `<tool_call>\n<function=${name}>\n${each(values, (k, v) => `<parameter=${k}>\n${raw(v)}\n</parameter>\n`)}</function>\n</tool_call>`,
        )
        .join('\n'),
  ],
  'tags for keys and values, as GLM 4.5 has it': [
    `{{ tools }}${turns}{% if m.role == 'assistant' %}<a>\n<think></think>{% for c in m.tool_calls or [] %}{{ '\n' }}<tool_call>{{ c.function.name }}` +
      `{{ '\n' }}${names}<arg_key>{{ k }}</arg_key>{{ '\n' }}<arg_value>{{ v if v is string else v | tojson }}</arg_value>{{ '\n' }}{% endfor %}` +
      '</tool_call>{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}',
    ['<u>'],
    {
      style: 'tagged',
      open: '',
      begin: '<tool_call>',
      head: '\n<arg_key>',
      middles: marks('</arg_key>\n<arg_value>'),
      pythonNames: false,
      between: '</arg_value>\n<arg_key>',
      empty: '\n</tool_call>',
      end: '</arg_value>\n</tool_call>',
      separator: '\n',
      close: '',
    },
    calls =>
      calls
        .map(
          ({ name, arguments: values }) =>
            `<tool_call>${name}\n${each(values, (k, v) => `<arg_key>${k}</arg_key>\n<arg_value>${raw(v)}</arg_value>\n`)}</tool_call>`,
        )
        .join('\n'),
  ],
  'a block of calls whose arguments name their type, as DeepSeek V3.2 has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}{{ '\n\n' }}<!calls>{% for c in m.tool_calls %}{{ '\n' }}<!invoke name="{{ c.function.name }}">{{ '\n' }}${names}` +
      `{% if not loop.first %}{{ '\n' }}{% endif %}<!parameter name="{{ k }}" string="{{ 'true' if v is string else 'false' }}">` +
      "{{ v if v is string else v | tojson }}</!parameter>{% endfor %}{{ '\n' }}</!invoke>{% endfor %}{{ '\n' }}</!calls>{% endif %}{% endfor %}",
    [],
    {
      style: 'tagged',
      open: '<!calls>\n',
      begin: '<!invoke name="',
      head: '">\n<!parameter name="',
      middles: { ...marks('" string="false">'), string: '" string="true">' },
      pythonNames: false,
      between: '</!parameter>\n<!parameter name="',
      empty: '">\n\n</!invoke>',
      end: '</!parameter>\n</!invoke>',
      separator: '\n',
      close: '\n</!calls>',
    },
    calls =>
      `<!calls>\n${calls
        .map(({ name, arguments: values }) => {
          const all = each(
            values,
            (k, v) => `<!parameter name="${k}" string="${typeof v === 'string'}">${raw(v)}</!parameter>`,
            '\n',
          )
          return `<!invoke name="${name}">\n${all}\n</!invoke>`
        })
        .join('\n')}\n</!calls>`,
  ],
  'a list of calls of Python, as Llama 4 has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<a>[{% for c in m.tool_calls %}{{ c.function.name }}({% for k in c.function.arguments %}` +
      `{{ k }}="{{ '%s' | format(c.function.arguments[k]) }}"{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}, {% endif %}` +
      '{% endfor %}]<|eot|>{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}',
    ['<|eot|>'],
    {
      style: 'python',
      open: '[',
      begin: '',
      head: '(',
      assign: '=',
      quote: '"',
      between: ', ',
      empty: '()',
      end: ')',
      separator: ', ',
      close: ']',
    },
    calls =>
      `[${calls.map(({ name, arguments: values }) => `${name}(${each(values, (k, v) => `${k}=${python(v, '"')}`, ', ')})`).join(', ')}]`,
  ],
  'calls of Python line by line in a tag, as Olmo 3 has it': [
    `{{ tools }}${turns}{% if m.tool_calls %}<a><calls>{% for c in m.tool_calls %}{{ '\n' }}{{ c.function.name }}(${names}` +
      `{{ k }}={% if v is string %}'{{ v }}'{% else %}{{ v | tojson }}{% endif %}{% if not loop.last %}, {% endif %}{% endfor %})` +
      "{% endfor %}{{ '\n' }}</calls><end>{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}",
    ['<end>'],
    {
      style: 'python',
      open: '<calls>\n',
      begin: '',
      head: '(',
      assign: '=',
      quote: "'",
      between: ', ',
      empty: '()',
      end: ')',
      separator: '\n',
      close: '\n</calls>',
    },
    calls =>
      `<calls>\n${calls.map(({ name, arguments: values }) => `${name}(${each(values, (k, v) => `${k}=${python(v, "'")}`, ', ')})`).join('\n')}\n</calls>`,
  ],
}
export const formats = [...Object.entries(templates), ...Object.entries(named)].map(
  ([name, [, , format]]) => [name, format] as const,
)
