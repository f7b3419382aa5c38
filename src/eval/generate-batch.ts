// Greedy continuations of many prompts, decoded together up to a stop string: each weight is read once for all of them.

import { Continuation } from '../engine/generation/continuation.js'
import { checkGenerateOptions } from '../engine/generation/generate-options.js'
import { type LanguageModel, Session } from '../engine/index.js'

export interface GreedyRules {
  readonly stops: readonly string[]
  /** Tokens at most, fewer where the context ends. */
  readonly maxTokens: number
  /** Of an activation that draws: every prompt draws as sequence 0 of this seed. */
  readonly seed: number
}

/** The text that follows each prompt, without the stop string that ended it. Throws as Session.prefill does. */
export function generateGreedy(
  model: LanguageModel,
  prompts: readonly (readonly number[])[],
  { stops, maxTokens, seed }: GreedyRules,
): string[] {
  const { engine, tokenizer, endOfText } = model
  const { maxPositionEmbeddings } = engine.config
  const checked = checkGenerateOptions(
    { stop: stops, maxTokens, seed },
    engine.activation,
    tokenizer,
    endOfText,
  )
  const sessions = prompts.map(() => engine.session({ seed }))
  Session.readTogether(
    prompts.map((tokens, i) => ({ session: sessions[i], tokens, wanted: 1 })),
    () => {},
  )
  const continuations = prompts.map((prompt, i) => {
    const room = maxPositionEmbeddings - prompt.length + 1
    const limit = Math.min(maxTokens, room)
    const rules = { ...checked, limit, limitReason: maxTokens <= room ? 'length' : 'context' } as const
    return new Continuation(rules, sessions[i], prompt)
  })
  let running = continuations
  while (running.length > 0) {
    const ids = new Map(running.map(continuation => [continuation, continuation.next().id]))
    running = running.filter(({ finishReason }) => finishReason === null)
    Session.stepTogether(
      running.map(({ session }) => session),
      running.flatMap(continuation => ids.get(continuation) ?? []),
    )
  }
  return continuations.map(({ text }) => text)
}
