// Conversations as the text that a model was trained on: the chat templates that come with it (Jinja, as Hugging Face's
// apply_chat_template runs them), their special tokens, and the messages, all checked before use.

import { z } from 'zod'
import { didYouMean } from '../../did-you-mean.js'
import { OptionError } from '../../errors.js'
import { describeIssues, pathText } from '../../schema-issues.js'
import { renderTemplate } from './template-sandbox.js'

/** One turn. Fields beside these (`tool_calls`, `name`, …) are given to the template as they are. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, `tool`, or what else the template knows. */
  readonly role: string
  /** Text, or parts as OpenAI's API has them, e.g. `{type: 'text', text: '…'}`. */
  readonly content?: string | readonly object[] | null
  readonly [field: string]: unknown
}

export interface ChatOptions {
  /** The name of one of the model's templates, or a template itself (Jinja). Default: the model's. */
  readonly template?: string
  /** End with the beginning of the assistant's turn, for the model to go on. Default true. */
  readonly addGenerationPrompt?: boolean
  /** Functions the model may call, as JSON schemas; for templates that know tools. */
  readonly tools?: readonly object[]
  /** For templates that know documents. */
  readonly documents?: readonly object[]
  /** More variables of the template, e.g. `{ enable_thinking: false }`. */
  readonly variables?: Readonly<Record<string, unknown>>
}

/** A conversation as a prompt. */
export interface ChatPrompt extends ChatOptions {
  readonly messages: readonly ChatMessage[]
}

/** What a model brings for conversations. */
export interface ChatTemplates {
  /** Jinja by name; the one for everyday use is called `default`. */
  readonly templates: ReadonlyMap<string, string>
  /** `bos_token`, `eos_token`, … with their text. */
  readonly specialTokens: Readonly<Record<string, string>>
}

export const NO_CHAT_TEMPLATES: ChatTemplates = { templates: new Map(), specialTokens: {} }

const json: z.ZodType<unknown> = z.json()
const messagesSchema = z
  .array(
    z
      .object({
        role: z.string().min(1),
        content: z.union([z.string(), z.array(z.record(z.string(), json)), z.null()]).optional(),
      })
      .catchall(json),
  )
  .min(1)

/**
 * The text of a conversation. Throws OptionError CHAT_MESSAGES_INVALID, CHAT_TEMPLATE_MISSING, CHAT_TEMPLATE_UNKNOWN,
 * and what renderTemplate throws.
 */
export async function renderChat(chat: ChatTemplates, prompt: ChatPrompt): Promise<string> {
  const { messages, addGenerationPrompt = true, tools = null, documents = null, variables = {} } = prompt
  const source = templateFor(chat.templates, prompt)
  const result = messagesSchema.safeParse(messages)
  if (!result.success) {
    const issues = result.error.issues.slice(0, 1)
    const wrong = describeIssues({ issues }, messagesSchema, messages, path => `messages${pathText(path)}`)
    throw new OptionError('CHAT_MESSAGES_INVALID', `${wrong}; a message is {role: 'user', content: 'text'}`)
  }
  return renderTemplate(source, {
    ...chat.specialTokens,
    messages: result.data,
    tools: plain(tools, 'tools'),
    documents: plain(documents, 'documents'),
    add_generation_prompt: addGenerationPrompt,
    ...(plain(variables, 'variables') as object),
  })
}

/** A JSON value; the template gets nothing else. */
function plain(value: unknown, name: string): unknown {
  const result = json.safeParse(value)
  if (result.success) return result.data
  throw new OptionError('CHAT_MESSAGES_INVALID', `${name} must be plain JSON values`)
}

function templateFor(templates: ReadonlyMap<string, string>, { template, tools }: ChatPrompt): string {
  if (template !== undefined) {
    const named = templates.get(template)
    if (named !== undefined) return named
    // Text without any Jinja in it would make the same prompt of every conversation.
    if (/\{[{%]/.test(template)) return template
    const known = [...templates.keys()]
    const has = known.length === 0 ? 'the model has none' : `the model has ${known.join(', ')}`
    throw new OptionError(
      'CHAT_TEMPLATE_UNKNOWN',
      `there is no chat template ${JSON.stringify(template)}; ${has}.${didYouMean(template, known)}`,
    )
  }
  // As in Hugging Face's: a template of its own for tools, where there is one.
  const found = (tools !== undefined && templates.get('tool_use')) || templates.get('default')
  if (found !== undefined) return found
  const known = [...templates.keys()]
  throw new OptionError(
    'CHAT_TEMPLATE_MISSING',
    known.length > 0
      ? `the model has several chat templates (${known.join(', ')}) and none is the default; name one as template`
      : 'the model has no chat template: it was not trained on conversations, or its tokenizer_config.json is missing; ' +
          'give a template, or a plain prompt',
  )
}
