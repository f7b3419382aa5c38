// What the process that renders chat templates runs: a template and its variables come as a message, the text goes back.

import { render } from './interpreter.js'
import { RaisedError } from './values.js'

export interface Question {
  readonly source: string
  readonly variables: Record<string, unknown>
  /** Most characters of the text. */
  readonly characters: number
}

export type Answer =
  | { readonly text: string }
  | { readonly tooLong: number }
  | { readonly failed: string }
  | { readonly refused: string }

process.on('message', ({ source, variables, characters }: Question) => {
  let answer: Answer
  try {
    const text = render(source, variables)
    answer = text.length > characters ? { tooLong: text.length } : { text }
  } catch (error) {
    const { message } = error as Error
    answer = error instanceof RaisedError ? { refused: message } : { failed: message }
  }
  process.send?.(answer)
})
process.send?.({ ready: true })
