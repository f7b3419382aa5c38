// Comparing what a model wrote with the right answers, as lm-evaluation-harness normalizes both.

export interface AnswerRules {
  /** Removed from both sides first, in this order. */
  readonly ignore?: readonly RegExp[]
  readonly ignoreCase?: boolean
  /** Deletes Python's `string.punctuation`: ASCII punctuation. */
  readonly ignorePunctuation?: boolean
}

const PUNCTUATION = /[!-/:-@[-`{-~]/g

export function normalizedAnswer(text: string, rules: AnswerRules): string {
  let answer = text
  for (const pattern of rules.ignore ?? []) answer = answer.replaceAll(pattern, '')
  if (rules.ignoreCase === true) answer = answer.toLowerCase()
  return rules.ignorePunctuation === true ? answer.replaceAll(PUNCTUATION, '') : answer
}

/** 1 when the answer equals one of `golds` after normalization of both, else 0. */
export function exactMatch(text: string, golds: readonly string[], rules: AnswerRules): number {
  const answer = normalizedAnswer(text, rules)
  return golds.some(gold => normalizedAnswer(gold, rules) === answer) ? 1 : 0
}
