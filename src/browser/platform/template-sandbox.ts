// In place of src/engine/chat/template-sandbox.ts: chat templates run in the worker, in the same interpreter, which counts
// its steps: a worker's own timer cannot interrupt it.

import { render } from '../../engine/chat/jinja/interpreter.js'
import { RaisedError, TooManySteps } from '../../engine/chat/jinja/values.js'
import { FlickerError, OptionError } from '../../errors.js'

const LARGEST_TEMPLATE = 2 ** 20
const MOST_CHARACTERS = 2 ** 23
/** Statements and expressions. No published template comes near, however long the conversation. */
const MOST_STEPS = 5_000_000

/** As in Node; throws the same errors, with CHAT_TEMPLATE_LIMIT for too many steps. */
export async function renderTemplate(source: string, variables: Record<string, unknown>): Promise<string> {
  if (source.length > LARGEST_TEMPLATE) {
    throw new FlickerError(
      'CHAT_TEMPLATE_INVALID',
      `the chat template has ${source.length} characters, more than any template needs (${LARGEST_TEMPLATE})`,
    )
  }
  let text: string
  try {
    text = render(source, variables, { steps: MOST_STEPS })
  } catch (error) {
    const message = shortened((error as Error).message)
    if (error instanceof RaisedError) {
      throw new OptionError('CHAT_MESSAGES_REFUSED', `the chat template refuses these messages: ${message}`)
    }
    if (error instanceof TooManySteps) {
      throw new FlickerError('CHAT_TEMPLATE_LIMIT', `the chat template was stopped: ${message}`)
    }
    throw new FlickerError(
      'CHAT_TEMPLATE_INVALID',
      `the chat template cannot be used: ${message}; give another with the option template`,
    )
  }
  if (text.length <= MOST_CHARACTERS) return text
  throw new OptionError(
    'CHAT_TEMPLATE_TOO_LONG',
    `the chat template makes ${text.length} characters of these messages; at most ${MOST_CHARACTERS} are read`,
  )
}

function shortened(message: string): string {
  const line = message.replace(/\s+/g, ' ').trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
