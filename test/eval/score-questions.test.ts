// Log-likelihoods of choices scored together equal those of each choice scored alone, through the engine's logits.

import { describe, expect, it, vi } from 'vitest'
import { EngineModel, Session } from '../../src/engine/index.js'
import type { ScoredTokens } from '../../src/eval/requests.js'
import { QuestionScorer } from '../../src/eval/score-questions.js'
import { RandomStream } from '../../src/kernels/philox.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'

const config = { ...smallConfig, maxPositionEmbeddings: 700 }
const tensors = tensorOf(randomTensors(config, 5))
const random = new RandomStream({ seed: 3, purpose: 1, stream: 0 })
const drawn = (length: number) =>
  Array.from({ length }, () => Math.floor(random.uniform() * config.vocabSize))

function scored(prompt: number[], continuation: number[]): ScoredTokens {
  return { tokens: [...prompt, ...continuation], scored: continuation.length, dropped: 0 }
}

/** Nats, from the logits of the whole sequence in double precision. */
function alone(model: EngineModel, { tokens, scored }: ScoredTokens): { nats: number; greedy: boolean } {
  const logits = model.logits(tokens.slice(0, -1), { seed: 1 })
  const { vocabSize } = config
  let [nats, greedy] = [0, true]
  for (let at = tokens.length - scored; at < tokens.length; at++) {
    const row = Array.from(logits.subarray((at - 1) * vocabSize, at * vocabSize))
    nats += row[tokens[at]] - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0))
    greedy &&= row[tokens[at]] === Math.max(...row)
  }
  return { nats, greedy }
}

const prompts = [drawn(9), drawn(14), drawn(3)]
const likely = (model: EngineModel, prompt: number[]) => {
  const logits = Array.from(model.session({ seed: 1 }).prefill(prompt))
  return [logits.indexOf(Math.max(...logits))]
}
const shots = drawn(600)
const begun = drawn(30)
const questions: Record<string, (model: EngineModel) => ScoredTokens[][]> = {
  'several choices of several lengths': () =>
    prompts.map(prompt => [drawn(4), drawn(1), drawn(7), drawn(2)].map(choice => scored(prompt, choice))),
  'choices that begin alike': () =>
    prompts.map(prompt =>
      [
        [1, 2, 3, 4],
        [1, 2, 3],
        [1, 2, 9],
      ].map(c => scored(prompt, c)),
    ),
  'choices of one token each': () =>
    prompts.map(prompt => [[5], [6], [7]].map(choice => scored(prompt, choice))),
  'one continuation, the most likely token': model =>
    prompts.map(prompt => [scored(prompt, likely(model, prompt))]),
  'one continuation after two contexts': () => {
    const rest = drawn(5)
    return [[scored([1, 2, 3], rest), scored([1, 2, 4, 5], rest)]]
  },
  'choices that share no token': () => [[scored([1], [2, 3]), scored([4], [5, 6])]],
  'questions of which some begin alike': () =>
    ['a', 'b', 'c', 'd', 'e'].map((_, i) => {
      const prompt = [...(i % 2 === 0 ? begun : begun.slice(0, 9)), ...prompts[i % 3], ...drawn(i)]
      return [drawn(3), drawn(5)].map(choice => scored(i === 4 ? drawn(20) : prompt, choice))
    }),
  'few-shot examples that all questions share, longer than a pass': () =>
    prompts.map(prompt => [drawn(3), drawn(5)].map(choice => scored([...shots, ...prompt], choice))),
}

describe.each(Object.keys(questions))('%s', name => {
  it.each(['relu', 'silu', 'stocha:p=0.4'])('%s', activation => {
    const model = new EngineModel(config, tensors, { activation })
    const asked = questions[name](model)
    const scorer = new QuestionScorer(model, { seed: 1 })
    // The second time the shared beginning is there already.
    for (const scores of [scorer.score(asked), scorer.score(asked)]) {
      expect(scores.map(choices => choices.length)).toEqual(asked.map(choices => choices.length))
      for (const [q, choices] of asked.entries()) {
        for (const [c, choice] of choices.entries()) {
          const { nats, greedy } = alone(model, choice)
          expect(Math.abs(scores[q][c].logLikelihood - nats)).toBeLessThan(1e-5)
          expect(scores[q][c].greedy).toBe(greedy)
        }
      }
    }
  })
})

it('what some questions begin with is read once', () => {
  const read = vi.spyOn(Session, 'readTogether')
  const model = new EngineModel(config, tensors)
  const own = [1, 2, 3].map(i => [i, ...drawn(4)])
  const choices = [
    [4, 5],
    [6, 7],
  ]
  // Two that share 30 tokens, one that shares none: 30 + 5 + 5 + 5, and of each choice all but its last token.
  const asked = [[...begun, ...own[0]], own[1], [...begun, ...own[2]]]
  new QuestionScorer(model, { seed: 1 }).score(asked.map(prompt => choices.map(c => scored(prompt, c))))
  const tokens = read.mock.calls.flatMap(([reads]) => reads.map(({ tokens }) => tokens.length))
  read.mockRestore()
  expect(tokens.reduce((a, b) => a + b)).toBe(30 + 3 * 5 + 3 * 2)
})

it('the most likely continuation is greedy, another is not', () => {
  const model = new EngineModel(config, tensors)
  const [prompt] = prompts
  const [best] = likely(model, prompt)
  const other = best === 0 ? 1 : 0
  const [[yes], [no]] = new QuestionScorer(model, { seed: 1 }).score([
    [scored(prompt, [best])],
    [scored(prompt, [other])],
  ])
  expect([yes.greedy, no.greedy]).toEqual([true, false])
})
