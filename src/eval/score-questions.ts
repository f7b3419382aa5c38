// Log-likelihoods of many continuations at once. What all questions, some questions, or the choices of one question begin
// with is read once, and what follows continues it in forks; the tokens of many questions fill passes without padding. Every
// value is the one that scoring a choice alone gives.

import type { Activation } from '../activations/index.js'
import { type EngineModel, type ReadRow, Session, type SessionRead } from '../engine/index.js'
import { kernels } from '../kernels/index.js'
import type { ScoredTokens } from './requests.js'

export interface ChoiceScore {
  /** log of the probability of the scored tokens, nats. */
  logLikelihood: number
  /** Whether each of them is the most likely one. */
  greedy: boolean
}

/** The beginning of all questions is read once where it has so many tokens; below that another segment costs more. */
const LEAST_STEM = 16
/** The same for the beginning of some of them. */
const LEAST_SHARED = 8

export interface ScorerOptions {
  /** Of an activation that draws: every choice draws as sequence 0 of this seed. */
  readonly seed: number
  /** Instead of the model's. */
  readonly activation?: Activation
}

/** Choices that read the same tokens first. */
interface Unit {
  /** Read by each of them, at least one token. */
  readonly prefix: readonly number[]
  readonly choices: readonly UnitChoice[]
}

interface UnitChoice {
  readonly tokens: ScoredTokens
  readonly score: ChoiceScore
}

export class QuestionScorer {
  readonly #engine: EngineModel
  readonly #options: ScorerOptions
  #stem: { readonly tokens: readonly number[]; readonly session: Session } | null = null

  constructor(engine: EngineModel, options: ScorerOptions) {
    this.#engine = engine
    this.#options = options
  }

  /** Scores of every choice of every question. Throws as Session.prefill does. */
  score(questions: readonly (readonly ScoredTokens[])[]): ChoiceScore[][] {
    const answers = questions.map(choices =>
      choices.map(tokens => ({ tokens, score: { logLikelihood: 0, greedy: true } })),
    )
    const units = answers.flatMap(unitsOf)
    const stem = this.#readStem(units)
    const start = stem?.tokens.length ?? 0
    const begin = (count: number) =>
      stem === null
        ? Array.from({ length: count }, () => this.#engine.session(this.#options))
        : stem.session.fork(Array(count).fill({}))
    const begun = this.#readBeginnings(units, start, begin)
    this.#read(
      begun.map(({ unit, session, position }) => ({
        unit,
        start: position,
        session,
        tokens: unit.prefix.slice(position),
        wanted: Math.max(1, unit.prefix.length - Math.max(position, firstScoring(unit))),
      })),
    )
    this.#read(
      begun.flatMap(({ unit: { prefix, choices }, session }) => {
        const longer = choices.filter(({ tokens }) => inputs(tokens) > prefix.length)
        const forks = session.fork(longer.map(() => ({})))
        return longer.map((choice, c) => {
          const { tokens, scored } = choice.tokens
          const rest = tokens.slice(prefix.length, -1)
          const unit = { prefix, choices: [choice] }
          return {
            unit,
            start: prefix.length,
            session: forks[c],
            tokens: rest,
            wanted: Math.min(rest.length, scored),
          }
        })
      }),
    )
    return answers.map(choices => choices.map(({ score }) => score))
  }

  /** Each unit with a session that has read what it shares with others: all of it, `start` tokens, or a longer beginning. */
  #readBeginnings(
    units: readonly Unit[],
    start: number,
    begin: (count: number) => Session[],
  ): { readonly unit: Unit; readonly session: Session; readonly position: number }[] {
    const groups = groupsOf(units, start)
    const sessions = begin(groups.length)
    const shared = groups.map((group, i) => ({ ...group, session: sessions[i] }))
    const several = shared.filter(({ units }) => units.length > 1)
    this.#read(
      several.map(({ units: [{ prefix }], length, session }) => {
        // Nothing in it is scored.
        return {
          unit: { prefix, choices: [] },
          start,
          session,
          tokens: prefix.slice(start, length),
          wanted: 1,
        }
      }),
    )
    return shared.flatMap(({ units, length, session }) => {
      if (units.length === 1) return [{ unit: units[0], session, position: start }]
      const forks = session.fork(units.map(() => ({})))
      return units.map((unit, i) => ({ unit, session: forks[i], position: length }))
    })
  }

  /** Reads tokens from position `start` on, and adds what they say of the choices of their unit. */
  #read(reads: readonly (SessionRead & { readonly unit: Unit; readonly start: number })[]): void {
    const { vocabSize } = this.#engine.config
    const kept = reads.map(read => ({ ...read, keepsLogits: false }))
    Session.readTogether(kept, (logits, rows) => {
      const positions = rows.map(({ read, token }) => reads[read].start + token)
      const targetsOf = ({ read }: ReadRow, at: number) =>
        reads[read].unit.choices.filter(
          ({ tokens }) => at < inputs(tokens) && at >= inputs(tokens) - tokens.scored,
        )
      const { best, logSum } = summaries(logits, rows.length, vocabSize)
      for (const [i, row] of rows.entries()) {
        for (const { tokens, score } of targetsOf(row, positions[i])) {
          const target = tokens.tokens[positions[i] + 1]
          score.logLikelihood += logits[i * vocabSize + target] - logSum[i]
          score.greedy &&= best[i] === target
        }
      }
    })
  }

  /** What all units begin with, where it is long enough: few-shot examples that all questions share. */
  #readStem(units: readonly Unit[]): { tokens: readonly number[]; session: Session } | null {
    if (units.length === 0) return null
    let length = Math.min(...units.map(mostShared))
    const [{ prefix: first }] = units
    for (const { prefix } of units) length = commonLength(first, prefix, length)
    if (length < LEAST_STEM) return null
    const known = this.#stem
    if (known !== null && known.tokens.length <= length) {
      const same = commonLength(known.tokens, first, known.tokens.length) === known.tokens.length
      if (same && 2 * known.tokens.length > length) return known
    }
    const session = this.#engine.session(this.#options)
    const tokens = first.slice(0, length)
    session.prefill(tokens)
    this.#stem = { tokens, session }
    return this.#stem
  }
}

/** The last token is predicted, not read. */
function inputs({ tokens }: ScoredTokens): number {
  return tokens.length - 1
}

/** The first position whose logits score a token of one of the choices. */
function firstScoring({ choices }: Unit): number {
  return Math.min(...choices.map(({ tokens }) => inputs(tokens) - tokens.scored))
}

/** Tokens that others may read for a unit: it still reads one of its own, and what is scored is not among them. */
function mostShared(unit: Unit): number {
  return Math.min(unit.prefix.length - 1, firstScoring(unit))
}

interface Group {
  units: Unit[]
  /** Tokens with which all of them begin. */
  length: number
}

/** Units whose beginnings are alike beyond `start` tokens together, as far as fewer tokens are read for it. */
function groupsOf(units: readonly Unit[], start: number): Group[] {
  const groups: Group[] = []
  for (const unit of [...units].sort((a, b) => inOrder(a.prefix, b.prefix))) {
    const group = groups.at(-1)
    const most = mostShared(unit)
    const length =
      group === undefined
        ? 0
        : commonLength(group.units[0].prefix, unit.prefix, Math.min(group.length, most)) - start
    const count = group?.units.length ?? 0
    const saved = group === undefined || count === 1 ? 0 : (count - 1) * (group.length - start)
    if (group !== undefined && length >= LEAST_SHARED && count * length > saved) {
      group.units.push(unit)
      group.length = start + length
    } else groups.push({ units: [unit], length: most })
  }
  return groups
}

/** Which of two lists comes first, element by element. */
function inOrder(a: readonly number[], b: readonly number[]): number {
  const same = commonLength(a, b, a.length)
  return (a[same] ?? -1) - (b[same] ?? -1)
}

/** One unit of all choices that begin alike, or one for each where they do not. */
function unitsOf(choices: readonly UnitChoice[]): Unit[] {
  if (choices.length === 0) return []
  const [{ tokens: first }] = choices
  let length = inputs(first)
  for (const { tokens } of choices) {
    length = commonLength(first.tokens, tokens.tokens, Math.min(length, inputs(tokens)))
  }
  if (length > 0) return [{ prefix: first.tokens.slice(0, length), choices }]
  return choices.map(choice => ({ prefix: choice.tokens.tokens.slice(0, -1), choices: [choice] }))
}

/** How many of the first `most` elements are the same. */
function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0
  while (length < most && length < b.length && a[length] === b[length]) length++
  return length
}

/** Of each row of logits, (rows, vocab): the most likely token, the first of equals, and log Σ exp. */
function summaries(
  logits: Float32Array,
  rows: number,
  vocab: number,
): { readonly best: Int32Array; readonly logSum: Float64Array } {
  const [best, losses] = [new Int32Array(rows), new Float32Array(rows)]
  for (let row = 0; row < rows; row++) {
    const start = row * vocab
    let [id, most] = [0, logits[start]]
    for (let other = 1; other < vocab; other++) {
      const logit = logits[start + other]
      if (logit <= most) continue
      id = other
      most = logit
    }
    best[row] = id
  }
  // The loss of a likely token is small, and so is its rounding.
  kernels().crossEntropy(logits, best, losses, null, rows, vocab, 1)
  const logSum = Float64Array.from(losses, (loss, row) => logits[row * vocab + best[row]] + loss)
  return { best, logSum }
}
