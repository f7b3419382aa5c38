// How a model writes calls of tools. No list of formats: the chat template shows it, when it is given a conversation in which
// tools were called under names and with arguments that are recognized in its text.

import { OptionError } from '../../errors.js'
import type { ChatMessage, ChatOptions, ChatPrompt } from './chat.js'

/**
 * open, call, (separator, call)…, close; a call is begin, name, middle, arguments as JSON, end. Any of them may be empty,
 * but not begin and open both.
 */
export interface ToolCallFormat {
  readonly open: string
  readonly begin: string
  readonly middle: string
  /** May contain CALL_ID, where the call's id stands. */
  readonly end: string
  /** null: the template writes one call only. */
  readonly separator: string | null
  readonly close: string
}

/** Stands for an id in `end`: an id is nine letters and digits, as the strictest templates want it. */
export const CALL_ID = 'callid123'
export const CALL_ID_PATTERN = '[a-zA-Z0-9]{9}'

const CALLS = [
  { name: 'first_recognized', arguments: { first_argument: 'first_value' } },
  { name: 'second_recognized', arguments: { second_argument: 'second_value' } },
]
const WRITTEN = CALLS.map(({ arguments: given }) => {
  const [[key, value]] = Object.entries(given)
  return new RegExp(`\\{\\s*"${key}"\\s*:\\s*"${value}"\\s*\\}`)
})
const QUESTION: ChatMessage = { role: 'user', content: 'question' }

/**
 * `render` is that of the model, `endTexts` the texts of its end-of-text tokens. Throws OptionError TOOLS_UNSUPPORTED where
 * the template takes no notice of tools, or writes calls in a form whose arguments are not JSON.
 */
export async function toolCallFormat(
  render: (prompt: ChatPrompt) => Promise<string>,
  endTexts: readonly string[],
  options: Pick<ChatOptions, 'template' | 'variables'>,
): Promise<ToolCallFormat> {
  const tools = CALLS.map(({ name, arguments: given }) => ({
    type: 'function',
    function: {
      name,
      description: 'recognized',
      parameters: {
        type: 'object',
        properties: Object.fromEntries(Object.keys(given).map(key => [key, { type: 'string' }])),
      },
    },
  }))
  const rendered = (messages: ChatMessage[], addGenerationPrompt: boolean) =>
    render({ ...options, tools, messages, addGenerationPrompt })
  const before = await rendered([QUESTION], true)
  const one = await rendered([QUESTION, answer(1)], false).catch(() => null)
  const two = await rendered([QUESTION, answer(2)], false).catch(() => null)
  const offered = before !== (await render({ ...options, messages: [QUESTION] }))
  const single = offered && one !== null ? splitSingle(afterCommon(before, one), endTexts) : null
  if (single === null) {
    throw new OptionError(
      'TOOLS_UNSUPPORTED',
      "the model's chat template has no tools, or writes their arguments in another form than JSON",
    )
  }
  const between = two === null ? null : betweenCalls(afterCommon(before, two))
  return joinFormat(single, between)
}

function answer(calls: number): ChatMessage {
  return {
    role: 'assistant',
    content: '',
    tool_calls: CALLS.slice(0, calls).map(call => ({ id: CALL_ID, type: 'function', function: call })),
  }
}

/** What of `text` follows its common beginning with `before`, without thoughts that a template adds by itself. */
function afterCommon(before: string, text: string): string {
  let same = 0
  while (same < before.length && before[same] === text[same]) same++
  const rest = text.slice(same)
  return rest.slice(rest.indexOf('</think>') === -1 ? 0 : rest.lastIndexOf('</think>') + 8).trimStart()
}

interface SingleCall {
  /** Up to the name. */
  readonly begin: string
  readonly middle: string
  /** From the arguments to the end of the answer. */
  readonly end: string
}

function splitSingle(text: string, endTexts: readonly string[]): SingleCall | null {
  const at = text.indexOf(CALLS[0].name)
  const from = at + CALLS[0].name.length
  const written = WRITTEN[0].exec(text)
  if (at <= 0 || written === null || written.index < from) return null
  const rest = text.slice(written.index + written[0].length)
  const ends = endTexts.map(end => rest.indexOf(end)).filter(index => index !== -1)
  const end = ends.length === 0 ? rest.trimEnd() : rest.slice(0, Math.min(...ends))
  return { begin: text.slice(0, at), middle: text.slice(from, written.index), end }
}

/** From the arguments of the first call to the name of the second. */
function betweenCalls(text: string): string | null {
  const written = WRITTEN[0].exec(text)
  if (written === null) return null
  const from = written.index + written[0].length
  const second = text.indexOf(CALLS[1].name, from)
  return second === -1 || WRITTEN[1].exec(text.slice(second)) === null ? null : text.slice(from, second)
}

/** What ends a call is what its end and the text between two calls have in common; what begins one, likewise. */
function joinFormat({ begin, middle, end }: SingleCall, between: string | null): ToolCallFormat {
  if (between === null) return { open: '', begin, middle, end, separator: null, close: '' }
  let ended = 0
  while (ended < Math.min(end.length, between.length) && end[ended] === between[ended]) ended++
  const rest = between.slice(ended)
  let begun = 0
  while (begun < Math.min(begin.length, rest.length) && begin.at(-1 - begun) === rest.at(-1 - begun)) begun++
  return {
    open: begin.slice(0, begin.length - begun),
    begin: begin.slice(begin.length - begun),
    middle,
    end: end.slice(0, ended),
    separator: rest.slice(0, rest.length - begun),
    close: end.slice(ended),
  }
}

/** What a call is recognized by in free text: a tag where the format has one, else everything up to the name. */
export function triggerOf({ open, begin }: ToolCallFormat): string {
  const start = open + begin
  return /^(<[^>\s]+>|\[[A-Z_]+\])/.exec(start)?.[0] ?? start
}
