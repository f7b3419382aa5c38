// What a checked body means for the library: options of generating, prompts, conversations, and what an answer must be.

import { randomInt } from 'node:crypto'
import {
  type ChatMessage,
  type GenerateManyOptions,
  type Grammar,
  type LanguageModel,
  type Prompt,
  type Tool,
  type ToolCallFormat,
  toolGrammar,
} from '../engine/index.js'
import { OptionError } from '../errors.js'
import type { ChatBody, CompletionBody, EmbeddingBody, SamplingBody } from './requests.js'

/** Of `prompt` and `input`: one or several, as text or token ids. */
export function promptsOf(given: CompletionBody['prompt'] | EmbeddingBody['input']): readonly Prompt[] {
  if (typeof given === 'string') return [given]
  return typeof given[0] === 'number' ? [given as number[]] : (given as readonly Prompt[])
}

/**
 * What is not given has OpenAI's default: temperature 1, and a random seed, which the response names. At temperature 0 the
 * rules that choose among several tokens have no effect, and are left out.
 */
export function generateOptions(
  body: SamplingBody,
  maxTokens: number,
): GenerateManyOptions & { seed: number } {
  const { temperature, n, stop, activation, ignore_eos, sequence } = body
  const t = temperature ?? 1
  return {
    maxTokens,
    temperature: t,
    seed: body.seed ?? randomInt(2 ** 47),
    ...(t > 0 && {
      topP: body.top_p ?? undefined,
      topK: body.top_k ?? undefined,
      minP: body.min_p ?? undefined,
    }),
    n: n ?? undefined,
    sequence: sequence ?? undefined,
    stop: stop ?? undefined,
    activation: activation ?? undefined,
    ffn: body.ffn ?? undefined,
    ignoreEos: ignore_eos ?? undefined,
    neurons: body.neurons ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? undefined,
    grammar: formatGrammar(body.response_format),
    ...(body.logit_bias != null && {
      logitBias: new Map(Object.entries(body.logit_bias).map(([id, bias]) => [Number(id), bias])),
    }),
  }
}

function formatGrammar(format: SamplingBody['response_format']): Grammar | undefined {
  switch (format?.type) {
    case 'json_object':
      return { type: 'json_object' }
    case 'json_schema':
      return { type: 'json_schema', schema: format.json_schema.schema }
    case 'regex':
      return { type: 'regex', pattern: format.pattern }
    case 'grammar':
      return { type: 'ebnf', grammar: format.grammar }
    default:
      return undefined
  }
}

/** The conversation of a request, as a prompt; with tools unless none may be called. */
export async function conversationOf(
  model: LanguageModel,
  body: ChatBody,
  template?: string,
): Promise<Prompt> {
  const { messages, chat_template_kwargs, tools, tool_choice } = body
  const called = messages.some(({ tool_calls }) => tool_calls != null && tool_calls.length > 0)
  // Whoever calls a tool has been given it by a template that has tools; what another does with calls is its own affair.
  const format = called ? await model.toolCallFormat(templateOf(body, template)).catch(() => null) : null
  return {
    messages: messages.map(message => messageOf(message, format?.textArguments === true)),
    ...(template !== undefined && { template }),
    ...(chat_template_kwargs != null && { variables: chat_template_kwargs }),
    ...(tools != null && tools.length > 0 && tool_choice !== 'none' && { tools }),
  }
}

/** Most templates want arguments of calls as values, and content as one text. */
function messageOf(
  { role, content, tool_calls, ...rest }: ChatBody['messages'][number],
  textArguments: boolean,
): ChatMessage {
  const argumentsOf = (given: unknown) => {
    const value = argumentValue(given)
    return textArguments ? JSON.stringify(value) : value
  }
  return {
    ...rest,
    // The newer name of the same role.
    role: role === 'developer' ? 'system' : role,
    content: content == null ? (tool_calls == null ? null : '') : textOf(content),
    ...(tool_calls != null && {
      tool_calls: tool_calls.map(call => ({
        ...call,
        function: { ...call.function, arguments: argumentsOf(call.function.arguments) },
      })),
    }),
  }
}

function textOf(content: string | readonly { readonly type: string; readonly text?: unknown }[]): string {
  if (typeof content === 'string') return content
  return content
    .map(({ type, text }) => {
      if (type === 'text' && typeof text === 'string') return text
      throw new OptionError(
        'CONTENT_UNSUPPORTED',
        `content has a part of type ${type}; this server reads text only`,
      )
    })
    .join('\n')
}

function argumentValue(given: unknown): unknown {
  if (typeof given !== 'string') return given
  try {
    return JSON.parse(given)
  } catch (cause) {
    throw new OptionError('REQUEST_INVALID', 'the arguments of a tool call in messages are not JSON', {
      cause,
    })
  }
}

/** The part of a template's options that decides how calls are written. */
function templateOf({ chat_template_kwargs }: Pick<ChatBody, 'chat_template_kwargs'>, template?: string) {
  return {
    ...(template !== undefined && { template }),
    ...(chat_template_kwargs != null && { variables: chat_template_kwargs }),
  }
}

/** The tools of a request, and how they are called. */
export interface ToolUse {
  readonly format: ToolCallFormat
  readonly tools: readonly Tool[]
  readonly grammar: Grammar
}

/** How calls of tools in the answer are to be read, and the grammar that it must follow; null where none may be called. */
export async function toolRules(
  model: LanguageModel,
  { tools, tool_choice, parallel_tool_calls, chat_template_kwargs, response_format }: ChatBody,
  template?: string,
): Promise<ToolUse | null> {
  if (tools == null || tools.length === 0 || tool_choice === 'none') {
    if (tool_choice == null || tool_choice === 'none' || tool_choice === 'auto') return null
    throw new OptionError('TOOL_UNKNOWN', 'tool_choice asks for a call, but there are no tools')
  }
  const format = await model.toolCallFormat(templateOf({ chat_template_kwargs }, template))
  const choice = tool_choice ?? 'auto'
  const content = formatGrammar(response_format)
  if (content !== undefined && content.type !== 'json_object' && content.type !== 'json_schema') {
    throw new OptionError(
      'REQUEST_INVALID',
      `response_format ${response_format?.type} cannot be combined with tools`,
    )
  }
  const known: Tool[] = tools.map(({ function: { name, parameters } }) => ({
    name,
    ...(parameters != null && { parameters }),
  }))
  const grammar = toolGrammar(format, known, {
    choice: typeof choice === 'string' ? choice : { name: choice.function.name },
    parallel: parallel_tool_calls !== false,
    ...(content !== undefined && { content }),
  })
  return { format, tools: known, grammar }
}

/** As many tokens as the context can hold. */
export function wholeContext({ config }: LanguageModel): number {
  return config.maxPositionEmbeddings
}
