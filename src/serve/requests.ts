// Bodies of requests, checked: OpenAI's fields and ours. `null` means that a field is not given, as many clients send it.

import { z } from 'zod'
import { OptionError } from '../errors.js'
import { describeFirstIssue } from '../schema-issues.js'

/** Alternatives of a token that a response lists: more would make it larger than what reads it. */
const MOST_ALTERNATIVES = 128

/** A body comes from JSON text. */
const json = z.unknown()
const jsonSchema = z.record(z.string(), json)
const toolName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -')

const anyFormat = [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({ name: z.string().nullish(), schema: jsonSchema }),
  }),
] as const
/** What a text must be; the last two are ours. */
const responseFormat = z.discriminatedUnion('type', [
  ...anyFormat,
  z.looseObject({ type: z.literal('regex'), pattern: z.string() }),
  z.looseObject({ type: z.literal('grammar'), grammar: z.string() }),
])

const samplingFields = {
  model: z.string().nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  n: z.int().min(1).nullish(),
  seed: z.int().min(0).nullish(),
  sequence: z
    .int()
    .min(0)
    .nullish()
    .describe('number of the first of n sequences: seed and number decide the draws'),
  stop: z.union([z.string(), z.array(z.string()).max(64)]).nullish(),
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  repetition_penalty: z.number().nullish(),
  logit_bias: z.record(z.string().regex(/^\d+$/, 'must be the id of a token'), z.number()).nullish(),
  activation: z
    .string()
    .nullish()
    .describe("instead of the model's, e.g. stocha:p=0.3, which draws while decoding"),
  ffn: z
    .enum(['auto', 'dense', 'sparse'])
    .nullish()
    .describe('how FFNs are computed, instead of as the server was started; it never changes a text'),
  ignore_eos: z.boolean().nullish(),
  neurons: z
    .boolean()
    .nullish()
    .describe(
      'with stream: each choice has neurons: layers, neurons (of a layer), active and negative (a bit per neuron over all ' +
        'layers, lowest bit first, base64; negative null without any), bytes_read and bytes_skipped of the step',
    ),
  response_format: responseFormat.nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
}
const tokenIds = z.array(z.int().min(0)).min(1)
const texts = z.union([z.string(), tokenIds, z.array(z.string()).min(1), z.array(tokenIds).min(1)])
const completionFields = {
  ...samplingFields,
  prompt: texts,
  max_tokens: z.int().min(0).nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(MOST_ALTERNATIVES).nullish(),
  best_of: z.int().min(1).nullish(),
  suffix: z.null().optional(),
}
const toolCall = z.looseObject({
  id: z.string().nullish(),
  type: z.literal('function').nullish(),
  function: z.looseObject({ name: z.string(), arguments: json }),
})
const chatFields = {
  ...samplingFields,
  messages: z
    .array(
      z.looseObject({
        role: z.string().min(1),
        content: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]).nullish(),
        tool_calls: z.array(toolCall).nullish(),
      }),
    )
    .min(1),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(MOST_ALTERNATIVES).nullish(),
  tools: z
    .array(
      z.looseObject({
        type: z.literal('function'),
        function: z.looseObject({
          name: toolName,
          description: z.string().nullish(),
          parameters: jsonSchema.nullish(),
        }),
      }),
    )
    .max(128)
    .nullish(),
  tool_choice: z
    .union([
      z.enum(['none', 'auto', 'required']),
      z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: toolName }) }),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  chat_template_kwargs: jsonSchema
    .nullish()
    .describe('variables of the chat template, e.g. {"enable_thinking": false}'),
}
const embeddingFields = {
  model: z.string().nullish(),
  input: texts,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().nullish(),
}
export const completionSchema = z.looseObject(completionFields)
export const chatSchema = z.looseObject(chatFields)
export const embeddingSchema = z.looseObject(embeddingFields)
export const tokenizeSchema = z.looseObject({ model: z.string().nullish(), content: z.string() })
export const detokenizeSchema = z.looseObject({
  model: z.string().nullish(),
  tokens: z.array(z.int().min(0)),
})
export type CompletionBody = z.output<typeof completionSchema>
export type ChatBody = z.output<typeof chatSchema>
export type EmbeddingBody = z.output<typeof embeddingSchema>
export type SamplingBody = Pick<CompletionBody, keyof typeof samplingFields>

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
