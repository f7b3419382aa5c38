// The grammar of answers that may, or must, call tools: names that exist, and arguments that fit their schemas.

import { OptionError } from '../../errors.js'
import type { Grammar, Tag, TagFormat } from '../grammar/grammar.js'
import { adaptJsonSchema, type JsonSchema } from '../grammar/json-schema.js'
import { namedCallTag } from './argument-grammar.js'
import { CALL_ID, CALL_ID_PATTERN, type JsonCalls, type ToolCallFormat, triggersOf } from './tool-format.js'

export interface Tool {
  readonly name: string
  /** JSON schema of the arguments. Default: none. */
  readonly parameters?: JsonSchema
}

export interface ToolRules {
  /** `auto`: as the model likes; `required`: at least one call; or the name of the tool to call. */
  readonly choice: 'auto' | 'required' | { readonly name: string }
  /** More than one call in an answer. */
  readonly parallel: boolean
  /** What an answer without calls must be. Default: any text. */
  readonly content?: Extract<Grammar, { type: 'json_object' | 'json_schema' }>
}

/** Throws OptionError TOOL_UNKNOWN, GRAMMAR_REFUSED. */
export function toolGrammar(format: ToolCallFormat, tools: readonly Tool[], rules: ToolRules): Grammar {
  const { choice, content } = rules
  const chosen = typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name)
  if (chosen.length === 0) {
    const asked = typeof choice === 'string' ? 'at least one' : JSON.stringify(choice.name)
    throw new OptionError(
      'TOOL_UNKNOWN',
      `tool_choice asks for ${asked}; tools has ${tools.map(({ name }) => name).join(', ') || 'none'}`,
    )
  }
  const calls = chosen.map(tool => callTag(format, tool))
  // XGrammar needs to see where a list of calls ends, and what separates them.
  const parallel = rules.parallel && format.separator !== null && format.separator !== ''
  const required = listOfCalls(format, calls, parallel)
  if (choice !== 'auto') return { type: 'structural_tag', format: required }
  if (content !== undefined) {
    const schema =
      content.type === 'json_schema'
        ? adaptJsonSchema(content.schema)
        : { type: 'object', additionalProperties: true }
    return {
      type: 'structural_tag',
      format: {
        type: 'or',
        elements: [{ type: 'json_schema', json_schema: schema }, listOfCalls(format, calls, false)],
      },
    }
  }
  const triggers = triggersOf(
    format,
    chosen.map(({ name }) => name),
  )
  let tags: readonly Tag[] = [bracketed(format, calls, parallel)]
  if (format.open === '') tags = calls.map(call => ({ ...call, end: call.end + format.close }))
  // A list that is recognized by its first call begins with that.
  else if (!tags[0].begin.startsWith(triggers[0])) tags = listsByFirst(format, calls, parallel)
  return {
    type: 'structural_tag',
    format: {
      type: 'triggered_tags',
      triggers,
      tags,
      stop_after_first: !parallel || format.open !== '',
    },
  }
}

function callTag(format: ToolCallFormat, { name, parameters }: Tool): Tag {
  return format.style === 'json'
    ? jsonCallTag(format, name, parameters)
    : namedCallTag(format, name, parameters)
}

function jsonCallTag({ begin, middle, end }: JsonCalls, name: string, parameters?: JsonSchema): Tag {
  const schema = adaptJsonSchema(parameters ?? { type: 'object', properties: {} })
  const content: TagFormat = { type: 'json_schema', json_schema: schema }
  const [beforeId, afterId] = end.split(CALL_ID)
  if (afterId === undefined) return { type: 'tag', begin: begin + name + middle, content, end }
  const withId: TagFormat = {
    type: 'sequence',
    elements: [
      content,
      { type: 'const_string', value: beforeId },
      { type: 'regex', pattern: CALL_ID_PATTERN },
    ],
  }
  return { type: 'tag', begin: begin + name + middle, content: withId, end: afterId }
}

/** One call, or several with what separates them. */
function callsOf({ separator }: ToolCallFormat, tags: readonly Tag[], parallel: boolean): TagFormat {
  if (!parallel) return tags.length === 1 ? tags[0] : { type: 'or', elements: tags }
  return { type: 'tags_with_separator', tags, separator: separator ?? '', at_least_one: true }
}

/** The calls with what opens and closes their list. */
function bracketed(format: ToolCallFormat, calls: readonly Tag[], parallel: boolean): Tag {
  const several = parallel && format.close !== ''
  return { type: 'tag', begin: format.open, content: callsOf(format, calls, several), end: format.close }
}

/** A list for each call that may be its first. */
function listsByFirst(
  { open, separator, close }: ToolCallFormat,
  calls: readonly Tag[],
  parallel: boolean,
): Tag[] {
  return calls.map(first => {
    const begin = open + first.begin
    if (!parallel) return { ...first, begin, end: first.end + close }
    const more: Tag = {
      type: 'tag',
      begin: separator ?? '',
      content: { type: 'tags_with_separator', tags: calls, separator: separator ?? '', at_least_one: true },
      end: close,
    }
    const last: TagFormat = { type: 'or', elements: [{ type: 'const_string', value: close }, more] }
    const end: TagFormat = { type: 'const_string', value: first.end }
    return {
      type: 'tag',
      begin,
      content: { type: 'sequence', elements: [first.content, end, last] },
      end: '',
    }
  })
}

function listOfCalls(format: ToolCallFormat, calls: readonly Tag[], parallel: boolean): TagFormat {
  if (format.open !== '') return bracketed(format, calls, parallel)
  if (format.close === '') return callsOf(format, calls, parallel)
  return callsOf(
    format,
    calls.map(call => ({ ...call, end: call.end + format.close })),
    false,
  )
}
