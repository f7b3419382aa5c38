// A published model, told by the engine: llama2.c's stories260K, greedily.

import { expect, it } from 'vitest'
import { type LanguageModel, load, Session } from '../../../src/engine/index.js'
import { describeWith, sharedData } from '../../data/shared-data.js'

const model = sharedData('checkpoints/stories260K.bin')
const tokenizer = sharedData('tokenizers/llama2c_tok512.bin')

/** What `./run stories260K.bin -z tok512.bin -t 0.0 -n 200` prints: llama2.c's own test. */
const story =
  'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ' +
  'One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n' +
  "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. " +
  'She said, "I want to play with your ball, but I can\'t find it."\n' +
  "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\n" +
  "Lily didn't want to help her mom, so she"

function likeliest(logits: Float32Array): number {
  return logits.indexOf(logits.reduce((a, b) => Math.max(a, b)))
}

/** 200 tokens after <s>, as a text. */
function tell({ engine, tokenizer }: LanguageModel): string {
  const session = engine.session()
  session.step(1)
  const tokens = [likeliest(session.logits)]
  while (tokens.length < 200) tokens.push(likeliest(session.step(tokens[tokens.length - 1])))
  return tokenizer.decode(tokens).trimStart()
}

describeWith('checkpoints/stories260K.bin', 'the story of stories260K', () => {
  it('is told in full, 200 tokens of it', async () => {
    const loaded = await load(model, { tokenizer })
    expect(tell(loaded)).toBe(story)
    loaded.dispose()
  })

  it('is told by two models at once, each in steps of two texts, and one outlives the other', async () => {
    const [one, other] = [await load(model, { tokenizer }), await load(model, { tokenizer, ffn: 'dense' })]
    const pairs = [one, other].map(({ engine }) => {
      const session = engine.session()
      session.step(1)
      return session.fork([{}, { sequence: 1 }])
    })
    const tokens: number[][] = [[], []]
    for (let t = 0; t < 40; t++) {
      for (const [m, pair] of pairs.entries()) {
        const next = pair.map(({ logits }) => likeliest(logits))
        expect(next[0]).toBe(next[1])
        tokens[m].push(next[0])
        Session.stepTogether(pair, next)
      }
      if (t === 30) {
        other.dispose()
        pairs.pop()
      }
    }
    expect(story.startsWith(one.tokenizer.decode(tokens[0]).trimStart())).toBe(true)
    expect(tokens[1]).toEqual(tokens[0].slice(0, 31))
    one.dispose()
  })
})
