// The grammar of answers that may, or must, call tools: names that exist, and arguments that fit their schemas.

import { OptionError } from '../../errors.js'
import type { Grammar, Tag, TagFormat } from '../grammar/grammar.js'
import { adaptJsonSchema, type JsonSchema } from '../grammar/json-schema.js'
import { CALL_ID, CALL_ID_PATTERN, type ToolCallFormat, triggerOf } from './tool-format.js'

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
  const tags: Tag[] =
    format.open === ''
      ? calls.map(call => ({ ...call, end: call.end + format.close }))
      : [bracketed(format, calls, parallel)]
  return {
    type: 'structural_tag',
    format: {
      type: 'triggered_tags',
      triggers: [triggerOf(format)],
      tags,
      stop_after_first: !parallel || format.open !== '',
    },
  }
}

function callTag({ begin, middle, end }: ToolCallFormat, { name, parameters }: Tool): Tag {
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

function listOfCalls(format: ToolCallFormat, calls: readonly Tag[], parallel: boolean): TagFormat {
  if (format.open !== '') return bracketed(format, calls, parallel)
  if (format.close === '') return callsOf(format, calls, parallel)
  return callsOf(
    format,
    calls.map(call => ({ ...call, end: call.end + format.close })),
    false,
  )
}
