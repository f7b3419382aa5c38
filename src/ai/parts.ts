// Responses as the AI SDK has them, whole and in parts.

import type {
  LanguageModelV3Content,
  LanguageModelV3FinishReason,
  LanguageModelV3GenerateResult,
  LanguageModelV3StreamPart,
  LanguageModelV3Usage,
  SharedV3Warning,
} from '@ai-sdk/provider'
import type { ChatChunk, ChatResponse } from '../serve/chat.js'
import type { Usage } from '../serve/usage.js'

export function generateResult(response: ChatResponse): Omit<LanguageModelV3GenerateResult, 'warnings'> {
  const [{ message, finish_reason }] = response.choices
  const { content, tool_calls = [] } = message
  const text: LanguageModelV3Content[] = content ? [{ type: 'text', text: content }] : []
  return {
    content: [
      ...text,
      ...tool_calls.map(({ id, function: called }) => ({
        type: 'tool-call' as const,
        toolCallId: id,
        toolName: called.name,
        input: called.arguments,
      })),
    ],
    finishReason: finishOf(finish_reason),
    usage: usageOf(response.usage),
    providerMetadata: { flicker: { seed: response.seed } },
    response: metadataOf(response),
  }
}

function metadataOf({ id, created, model }: { id: string; created: number; model: string }) {
  return { id, modelId: model, timestamp: new Date(1000 * created) }
}

function finishOf(reason: ChatChunk['choices'][number]['finish_reason']): LanguageModelV3FinishReason {
  return { unified: reason === 'tool_calls' ? 'tool-calls' : (reason ?? 'other'), raw: reason ?? undefined }
}

function usageOf(usage: Usage): LanguageModelV3Usage {
  const { cached_tokens: cacheRead } = usage.prompt_tokens_details
  const { prompt_tokens: total, completion_tokens: generated } = usage
  return {
    inputTokens: { total, noCache: total - cacheRead, cacheRead, cacheWrite: undefined },
    outputTokens: { total: generated, text: generated, reasoning: undefined },
  }
}

/** Pulled: a part is made when the one before has been taken. onCancel: the reader has gone. */
export function streamParts(
  chunks: AsyncIterable<ChatChunk>,
  {
    warnings,
    signal,
    onCancel,
  }: { warnings: SharedV3Warning[]; signal: AbortSignal | undefined; onCancel: () => void },
): ReadableStream<LanguageModelV3StreamPart> {
  const parts = partsOf(chunks, warnings, signal)
  let gone = false
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await parts.next()
          if (gone) return
          if (done === true) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          if (!gone) controller.error(error)
        }
      },
      cancel() {
        gone = true
        onCancel()
      },
    },
    { highWaterMark: 0 },
  )
}

/** A call of a tool as far as it has come. */
interface OpenCall {
  readonly index: number
  readonly id: string
  readonly toolName: string
  input: string
}

async function* partsOf(
  chunks: AsyncIterable<ChatChunk>,
  warnings: SharedV3Warning[],
  signal: AbortSignal | undefined,
): AsyncGenerator<LanguageModelV3StreamPart> {
  yield { type: 'stream-start', warnings }
  let begun = false
  let text: string | null = null
  let texts = 0
  let call: OpenCall | null = null
  let finish: ChatChunk['choices'][number]['finish_reason'] = null
  let last: ChatChunk | null = null
  for await (const chunk of chunks) {
    if (!begun) yield { type: 'response-metadata', ...metadataOf(chunk) }
    begun = true
    last = chunk
    for (const { delta, finish_reason } of chunk.choices) {
      finish = finish_reason ?? finish
      if (delta.content) {
        if (text === null) {
          text = `text-${texts++}`
          yield { type: 'text-start', id: text }
        }
        yield { type: 'text-delta', id: text, delta: delta.content }
      }
      for (const { index, id, function: called } of delta.tool_calls ?? []) {
        if (id !== undefined) {
          if (text !== null) yield { type: 'text-end', id: text }
          text = null
          if (call !== null) yield* ended(call)
          call = { index, id, toolName: called.name ?? '', input: '' }
          yield { type: 'tool-input-start', id, toolName: call.toolName }
        }
        if (call === null || called.arguments === '') continue
        call.input += called.arguments
        yield { type: 'tool-input-delta', id: call.id, delta: called.arguments }
      }
    }
  }
  signal?.throwIfAborted()
  if (text !== null) yield { type: 'text-end', id: text }
  if (call !== null) yield* ended(call)
  if (last === null) return
  yield {
    type: 'finish',
    finishReason: finishOf(finish),
    usage: usageOf(last.usage as Usage),
    providerMetadata: { flicker: { seed: last.seed } },
  }
}

function* ended({ id, toolName, input }: OpenCall): Generator<LanguageModelV3StreamPart> {
  yield { type: 'tool-input-end', id }
  yield { type: 'tool-call', toolCallId: id, toolName, input }
}
