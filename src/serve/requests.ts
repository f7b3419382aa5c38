// Bodies of requests, checked: OpenAI's fields and ours, as options of the library. `null` means that a field is not given,
// as many clients send it.

import { randomInt } from 'node:crypto'
import { z } from 'zod'
import type { ChatMessage, GenerateManyOptions, LanguageModel, Prompt } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { describeFirstIssue } from '../schema-issues.js'

const json = z.json()
const samplingFields = {
  model: z.string().nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  n: z.int().min(1).nullish(),
  seed: z.int().min(0).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(64)]).nullish(),
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  repetition_penalty: z.number().nullish(),
  logit_bias: z.record(z.string().regex(/^\d+$/, 'must be the id of a token'), z.number()).nullish(),
  /** A catalog entry, e.g. `stocha:p=0.3`. */
  activation: z.string().nullish(),
  ignore_eos: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
}
const tokenIds = z.array(z.int().min(0)).min(1)
const completionFields = {
  ...samplingFields,
  prompt: z.union([z.string(), tokenIds, z.array(z.string()).min(1), z.array(tokenIds).min(1)]),
  max_tokens: z.int().min(0).nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).nullish(),
  best_of: z.int().min(1).nullish(),
  suffix: z.null().optional(),
}
const chatFields = {
  ...samplingFields,
  messages: z.array(z.looseObject({ role: z.string() })).min(1),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).nullish(),
  response_format: z.looseObject({ type: z.literal('text') }).nullish(),
  tools: z.array(z.record(z.string(), json)).max(0).nullish(),
  tool_choice: z.literal('none').nullish(),
  /** Variables of the chat template, e.g. `{"enable_thinking": false}`. */
  chat_template_kwargs: z.record(z.string(), json).nullish(),
}
export const completionSchema = z.looseObject(completionFields)
export const chatSchema = z.looseObject(chatFields)
export const tokenizeSchema = z.looseObject({ model: z.string().nullish(), content: z.string() })
export const detokenizeSchema = z.looseObject({
  model: z.string().nullish(),
  tokens: z.array(z.int().min(0)),
})
export type CompletionBody = z.output<typeof completionSchema>
export type ChatBody = z.output<typeof chatSchema>

/** Fields of a body that nothing here reads. */
export function unknownFields(body: object, schema: z.ZodObject): string[] {
  return Object.keys(body).filter(name => !(name in schema.shape))
}

/** The body as `schema` wants it. Throws OptionError REQUEST_INVALID, which names the field. */
export function checkBody<T extends z.ZodObject>(schema: T, body: unknown): z.output<T> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw new OptionError('REQUEST_INVALID', describeFirstIssue(result.error, schema, body, 'the body'))
}

/** The prompts of a request for completions. */
export function promptsOf({ prompt }: CompletionBody): readonly Prompt[] {
  if (typeof prompt === 'string') return [prompt]
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as readonly Prompt[])
}

/** The conversation of a request, as a prompt. */
export function conversationOf({ messages, chat_template_kwargs }: ChatBody): Prompt {
  return {
    messages: messages as readonly ChatMessage[],
    ...(chat_template_kwargs != null && { variables: chat_template_kwargs }),
  }
}

type SamplingBody = Pick<CompletionBody, keyof typeof samplingFields>

/**
 * The options of the library. What is not given has OpenAI's default: temperature 1, and a random seed, which the response
 * names. At temperature 0 the rules that choose among several tokens have no effect, and are left out.
 */
export function generateOptions(
  body: SamplingBody,
  maxTokens: number,
): GenerateManyOptions & { seed: number } {
  const { temperature = 1, n, stop, activation, ignore_eos } = body
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
    stop: stop ?? undefined,
    activation: activation ?? undefined,
    ignoreEos: ignore_eos ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? undefined,
    ...(body.logit_bias != null && {
      logitBias: new Map(Object.entries(body.logit_bias).map(([id, bias]) => [Number(id), bias])),
    }),
  }
}

/** As many tokens as the context can hold. */
export function wholeContext({ config }: LanguageModel): number {
  return config.maxPositionEmbeddings
}
