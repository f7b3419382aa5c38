// A call of the AI SDK as the body of a request for a chat completion.

import type {
  LanguageModelV3CallOptions,
  LanguageModelV3Message,
  LanguageModelV3ToolResultPart,
  SharedV3Warning,
} from '@ai-sdk/provider'
import { OptionError } from '../errors.js'
import { type ChatBody, chatSchema, checkBody } from '../serve/requests.js'

/** Throws OptionError REQUEST_INVALID, CONTENT_UNSUPPORTED. */
export function bodyOf(call: LanguageModelV3CallOptions): ChatBody {
  const { responseFormat, toolChoice } = call
  const tools = (call.tools ?? []).flatMap(tool =>
    tool.type === 'function'
      ? [
          {
            type: 'function',
            function: {
              name: tool.name,
              ...(tool.description !== undefined && { description: tool.description }),
              parameters: tool.inputSchema,
            },
          },
        ]
      : [],
  )
  return checkBody(chatSchema, {
    messages: call.prompt.flatMap(messagesOf),
    max_completion_tokens: call.maxOutputTokens,
    temperature: call.temperature,
    stop: call.stopSequences,
    top_p: call.topP,
    top_k: call.topK,
    presence_penalty: call.presencePenalty,
    frequency_penalty: call.frequencyPenalty,
    seed: call.seed,
    ...(responseFormat?.type === 'json' && {
      response_format:
        responseFormat.schema === undefined
          ? { type: 'json_object' }
          : {
              type: 'json_schema',
              json_schema: { name: responseFormat.name, schema: responseFormat.schema },
            },
    }),
    ...(tools.length > 0 && {
      tools,
      tool_choice:
        toolChoice?.type === 'tool'
          ? { type: 'function', function: { name: toolChoice.toolName } }
          : toolChoice?.type,
    }),
    ...call.providerOptions?.flicker,
  })
}

/** What a call asks for and nothing here does. */
export function unsupported({ tools }: LanguageModelV3CallOptions): SharedV3Warning[] {
  return (tools ?? []).flatMap(tool =>
    tool.type === 'function' ? [] : [{ type: 'unsupported', feature: `the tool ${tool.id} of a provider` }],
  )
}

function messagesOf(message: LanguageModelV3Message): object[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }]
    case 'user':
      return [{ role: 'user', content: textOf(message.content) }]
    case 'assistant': {
      const tool_calls = message.content.flatMap(part =>
        part.type === 'tool-call'
          ? [
              {
                id: part.toolCallId,
                type: 'function',
                function: { name: part.toolName, arguments: part.input },
              },
            ]
          : [],
      )
      // Thoughts are not repeated to the model: its template would not.
      const said = message.content.filter(({ type }) => type !== 'tool-call' && type !== 'reasoning')
      return [{ role: 'assistant', content: textOf(said), ...(tool_calls.length > 0 && { tool_calls }) }]
    }
    case 'tool':
      return message.content.flatMap(part =>
        part.type === 'tool-result'
          ? [{ role: 'tool', tool_call_id: part.toolCallId, name: part.toolName, content: resultText(part) }]
          : [],
      )
  }
}

function textOf(parts: readonly { readonly type: string; readonly text?: string }[]): string {
  return parts
    .map(({ type, text }) => {
      if (type === 'text' && text !== undefined) return text
      throw new OptionError(
        'CONTENT_UNSUPPORTED',
        `a message has a part of type ${type}; the model reads text only`,
      )
    })
    .join('\n')
}

function resultText({ output }: LanguageModelV3ToolResultPart): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value)
    case 'execution-denied':
      return `the call was not allowed${output.reason === undefined ? '' : `: ${output.reason}`}`
    case 'content':
      return textOf(output.value)
  }
}
