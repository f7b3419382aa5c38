// How a model writes calls of tools. No list of models: the chat template shows it, when it is given a conversation in which
// tools were called under names and with arguments that are recognized in its text. Three forms of arguments are known:
// one JSON object, one tag for each argument, and a call as Python writes it.

import { OptionError } from '../../errors.js'
import type { ChatMessage, ChatOptions, ChatPrompt } from './chat.js'

/** open, call, (separator, call)…, close; a call is begin, name, arguments, end. */
interface CallFrame {
  readonly open: string
  readonly begin: string
  /** What ends a call, from the end of its arguments on. In the form `json` it may contain CALL_ID, where the call's id stands. */
  readonly end: string
  /** null: the template writes one call only. */
  readonly separator: string | null
  readonly close: string
  /** The template wants the arguments of earlier calls as JSON text, not as values. */
  readonly textArguments?: true
}

/** middle, arguments as JSON: Hermes, Qwen 2.5 and 3, Llama 3, Mistral, DeepSeek V3, gpt-oss. */
export interface JsonCalls extends CallFrame {
  readonly style: 'json'
  readonly middle: string
}

/** What arguments that are written one by one have in common. */
interface NamedArguments extends CallFrame {
  /** Between the name of the tool and that of the first argument. */
  readonly head: string
  /** Between the value of an argument and the name of the next. */
  readonly between: string
  /** All that follows the name of the tool in a call without arguments. */
  readonly empty: string
}

/** head, key, middle, value, (between, key, middle, value)…, end: Qwen3-Coder, GLM-4.5, Seed-OSS, MiniMax-M2, DeepSeek V3.2. */
export interface TaggedCalls extends NamedArguments {
  readonly style: 'tagged'
  /** Between a key and its value, by the JSON type of the value: strings are written as they are, all else as JSON. */
  readonly middles: Readonly<Record<ArgumentType, string>>
  /** The template writes True, False and None. */
  readonly pythonNames: boolean
}

/** head, key=value, (between, key=value)…, end, with values as Python writes them: Llama 4, Olmo 3, LFM2. */
export interface PythonCalls extends NamedArguments {
  readonly style: 'python'
  readonly assign: string
  readonly quote: '"' | "'"
}

export type ToolCallFormat = JsonCalls | TaggedCalls | PythonCalls
export type ArgumentType = 'string' | 'number' | 'boolean' | 'array' | 'object' | 'null'

/** Stands for an id in `end`: an id is nine letters and digits, as the strictest templates want it. */
export const CALL_ID = 'callid123'
export const CALL_ID_PATTERN = '[a-zA-Z0-9]{9}'
/** Llama 3 may begin a call with it, though its template does not write it. */
export const PYTHON_TAG = '<|python_tag|>'

interface Call {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
}

// In the order of the alphabet, as some templates sort them.
const KEYS = ['argument_one', 'argument_two'] as const
const CALLS = [
  { name: 'first_recognized', values: ['first_value', 'second_value'] },
  { name: 'second_recognized', values: ['third_value', 'fourth_value'] },
] as const
/** A value of each type but text, and how it is recognized. */
const TYPED: Readonly<Record<Exclude<ArgumentType, 'string'>, readonly [value: unknown, written: RegExp]>> = {
  number: [73519, /73519/],
  boolean: [true, /\btrue\b/i],
  array: [[73519], /\[\s*73519\s*\]/],
  object: [{ inner: 73519 }, /\{\s*["']inner["']\s*:\s*73519\s*\}/],
  null: [null, /\b(?:null|none)\b/i],
}
const QUESTION: ChatMessage = { role: 'user', content: 'question' }
const TOOLS = CALLS.map(({ name }) => ({
  type: 'function',
  function: {
    name,
    description: 'recognized',
    parameters: {
      type: 'object',
      properties: Object.fromEntries(KEYS.map(key => [key, { type: 'string', description: 'recognized' }])),
      required: KEYS,
    },
  },
}))

type Render = (calls: readonly Call[]) => Promise<string | null>

/**
 * `render` is that of the model, `endTexts` the texts of its end-of-text tokens. Throws OptionError TOOLS_UNSUPPORTED where
 * the template takes no notice of tools, or writes calls in a form that is not known.
 */
export async function toolCallFormat(
  render: (prompt: ChatPrompt) => Promise<string>,
  endTexts: readonly string[],
  options: Pick<ChatOptions, 'template' | 'variables'>,
): Promise<ToolCallFormat> {
  const before = await render({ ...options, tools: TOOLS, messages: [QUESTION] })
  const offered = before !== (await render({ ...options, messages: [QUESTION] }))
  for (const textArguments of offered ? [false, true] : []) {
    /** The answer that makes these calls, without what surrounds it; null where the template refuses it. */
    const answer: Render = async calls => {
      const messages = [QUESTION, messageOf(calls, textArguments)]
      const prompt = { ...options, tools: TOOLS, messages, addGenerationPrompt: false }
      const text = await render(prompt).catch(() => null)
      return text === null ? null : untilEnd(afterCommon(before, text), endTexts)
    }
    const format = await formatOf(answer)
    if (format !== null) return textArguments ? { ...format, textArguments } : format
  }
  throw new OptionError(
    'TOOLS_UNSUPPORTED',
    "the model's chat template has no tools, or writes calls in a form that is not known: " +
      'arguments as JSON, in tags, or as in Python',
  )
}

async function formatOf(answer: Render): Promise<ToolCallFormat | null> {
  const calls = CALLS.map(({ name, values }) => ({
    name,
    arguments: Object.fromEntries(KEYS.map((key, i) => [key, values[i]])),
  }))
  const one = await answer(calls.slice(0, 1))
  const two = await answer(calls)
  if (one === null) return null
  return jsonCalls(one, two) ?? (await namedCalls(one, two, answer))
}

function messageOf(calls: readonly Call[], textArguments: boolean): ChatMessage {
  return {
    role: 'assistant',
    content: '',
    tool_calls: calls.map(({ name, arguments: values }) => ({
      id: CALL_ID,
      type: 'function',
      function: { name, arguments: textArguments ? JSON.stringify(values) : values },
    })),
  }
}

/** What of `text` follows its common beginning with `before`, without thoughts that a template adds by itself. */
function afterCommon(before: string, text: string): string {
  let same = 0
  while (same < before.length && before[same] === text[same]) same++
  const rest = text.slice(same)
  return rest.slice(rest.indexOf('</think>') === -1 ? 0 : rest.lastIndexOf('</think>') + 8).trimStart()
}

function untilEnd(text: string, endTexts: readonly string[]): string {
  const ends = endTexts.map(end => text.indexOf(end)).filter(index => index !== -1)
  return ends.length === 0 ? text.trimEnd() : text.slice(0, Math.min(...ends))
}

function jsonCalls(one: string, two: string | null): JsonCalls | null {
  const [first, second] = CALLS.map(({ name, values }) => {
    const members = KEYS.map((key, i) => `"${key}"\\s*:\\s*"${values[i]}"`)
    return { name, written: new RegExp(`\\{\\s*${members.join('\\s*,\\s*')}\\s*\\}`) }
  })
  const at = one.indexOf(first.name)
  const from = at + first.name.length
  const written = first.written.exec(one)
  if (at <= 0 || written === null || written.index < from) return null
  const rest = (text: string, { index, 0: json }: RegExpExecArray) => text.slice(index + json.length)
  let between: string | null = null
  const again = two === null ? null : first.written.exec(two)
  if (two !== null && again !== null) {
    const more = rest(two, again)
    const to = more.indexOf(second.name)
    if (to !== -1 && second.written.test(more.slice(to))) between = more.slice(0, to)
  }
  const frame = frameOf(one.slice(0, at), rest(one, written), between)
  return { style: 'json', ...frame, middle: one.slice(from, written.index) }
}

/** One call with its arguments one by one: what stands before, between and after them. */
interface NamedCall {
  readonly begin: string
  readonly head: string
  readonly middle: string
  readonly between: string
  /** All that follows the last value. */
  readonly rest: string
}

function namedCall(text: string, { name, values }: (typeof CALLS)[number]): NamedCall | null {
  const marks = [name, KEYS[0], values[0], KEYS[1], values[1]]
  const gaps: string[] = []
  let at = 0
  for (const mark of marks) {
    const found = text.indexOf(mark, at)
    if (found === -1) return null
    gaps.push(text.slice(at, found))
    at = found + mark.length
  }
  const [begin, head, middle, between, again] = gaps
  if (begin === '' || head === '' || middle === '' || middle !== again) return null
  return { begin, head, middle, between, rest: text.slice(at) }
}

async function namedCalls(
  one: string,
  two: string | null,
  answer: Render,
): Promise<TaggedCalls | PythonCalls | null> {
  const [first, second] = CALLS
  const single = namedCall(one, first)
  const nothing = await answer([{ name: first.name, arguments: {} }])
  if (single === null || nothing === null || !nothing.startsWith(single.begin + first.name)) return null
  const { begin, head, middle, between, rest } = single
  const frame = frameOf(begin, rest, two === null ? null : betweenCalls(two, single, second))
  const after = nothing.slice(begin.length + first.name.length)
  if (!after.endsWith(frame.close)) return null
  const empty = after.slice(0, after.length - frame.close.length)
  if (sharedStart(head, empty) === '') return null
  const python = /^(\s*=\s*)(["'])$/.exec(middle)
  if (python !== null) {
    const [, assign, quote] = python
    const { end } = frame
    if (!(between.startsWith(quote) && end.startsWith(quote)) || between.length < 2 || end.length < 2)
      return null
    return {
      style: 'python',
      ...{ ...frame, end: end.slice(1), head, between: between.slice(1), empty },
      ...{ assign, quote: quote as PythonCalls['quote'] },
    }
  }
  if (sharedStart(between, frame.end) === '') return null
  const typed = await typedValues(answer, { head, middle })
  return { style: 'tagged', ...frame, head, between, empty, ...typed }
}

/** Between the last value of the first call and the name of the second; null where the second is written differently. */
function betweenCalls(
  two: string,
  { begin, head, middle, between }: NamedCall,
  second: (typeof CALLS)[number],
) {
  const name = two.indexOf(second.name)
  const before = namedCall(two, CALLS[0])
  const then = name === -1 ? null : namedCall(two.slice(name - 1), second)
  if (before === null || then === null || before.begin !== begin) return null
  const same = then.head === head && then.middle === middle && then.between === between
  return same ? two.slice(two.length - before.rest.length, name) : null
}

/** What stands before values of each type, and whether constants are written as Python does. */
async function typedValues(
  answer: Render,
  { head, middle }: { head: string; middle: string },
): Promise<Pick<TaggedCalls, 'middles' | 'pythonNames'>> {
  const middles = { string: middle } as Record<ArgumentType, string>
  let pythonNames = false
  for (const [type, [value, written]] of Object.entries(TYPED)) {
    middles[type as ArgumentType] = middle
    const text = await answer([{ name: CALLS[0].name, arguments: { [KEYS[0]]: value } }])
    const key = CALLS[0].name + head + KEYS[0]
    const from = (text?.indexOf(key) ?? -1) + key.length
    if (text === null || from < key.length) continue
    const found = written.exec(text.slice(from))
    if (found === null) continue
    middles[type as ArgumentType] = text.slice(from, from + found.index)
    if (found[0] === 'True' || found[0] === 'None') pythonNames = true
  }
  return { middles, pythonNames }
}

/** What ends a call is what its end and the text between two calls have in common; what begins one, likewise. */
function frameOf(begin: string, rest: string, between: string | null): CallFrame {
  if (between === null) return { open: '', begin, end: rest, separator: null, close: '' }
  let end = sharedStart(rest, between)
  // A tag that differs belongs to what follows as a whole, as the blank space before it does.
  if (end.lastIndexOf('<') > end.lastIndexOf('>')) end = end.slice(0, end.lastIndexOf('<'))
  if (rest.slice(end.length).trim() !== '') end = end.trimEnd()
  const more = between.slice(end.length)
  let begun = 0
  while (begun < Math.min(begin.length, more.length) && begin.at(-1 - begun) === more.at(-1 - begun)) begun++
  const open = begin.slice(0, begin.length - begun)
  if (open !== '') begun = begin.slice(open.length).trimStart().length
  return {
    open: begin.slice(0, begin.length - begun),
    begin: begin.slice(begin.length - begun),
    end,
    separator: more.slice(0, more.length - begun),
    close: rest.slice(end.length),
  }
}

/** The common beginning of two texts. */
export function sharedStart(a: string, b: string): string {
  let same = 0
  while (same < Math.min(a.length, b.length) && a[same] === b[same]) same++
  return a.slice(0, same)
}

/**
 * What a call is recognized by in free text: a tag where the format has one, else everything up to the name; where that
 * is no more than a bracket, with the name.
 */
export function triggersOf(format: ToolCallFormat, names: readonly string[]): string[] {
  const start = format.open + format.begin
  const tag = /^(<[^>\s]+>|\[[A-Z_]+\])/.exec(start)?.[0]
  if (tag !== undefined) return [tag]
  if (format.style === 'json') return [start]
  return names.map(name => start + name + sharedStart(format.head, format.empty))
}
