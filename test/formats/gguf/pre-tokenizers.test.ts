// The ways in which llama.cpp cuts text into words, against words cut by hand from the patterns.

import { describe, expect, it } from 'vitest'
import { fromByteLevel } from '../../../src/data/tokenizers/byte-level.js'
import { makePreTokenizer } from '../../../src/data/tokenizers/pipeline/pre-tokenizers.js'
import { preTokenizerJson, whyNotRead } from '../../../src/formats/gguf/pre-tokenizers.js'

function words(name: string, text: string): string[] {
  const pre = preTokenizerJson(name)
  if (pre === null) throw new Error(`${name} is not known`)
  const cut = makePreTokenizer(pre.json, name)([{ text, isFirst: true }])
  return cut.map(word => Buffer.from(fromByteLevel(word.text) ?? []).toString())
}

describe('words of', () => {
  it.each([
    // Numbers: by three, one by one, by three from the end, together.
    ['llama-bpe', "I'LL pay 12345 now", ['I', "'LL", ' pay', ' ', '123', '45', ' now']],
    ['glm4', 'a 12345', ['a', ' ', '123', '45']],
    ['qwen2', 'a 123', ['a', ' ', '1', '2', '3']],
    ['smollm', 'a 12', ['a', ' ', '1', '2']],
    ['gpt-2', 'a 12345', ['a', ' 12345']],
    ['default', 'a12345b', ['a', '123', '45', 'b']],
    ['falcon', 'a` 12345', ['a', '`', ' ', '123', '45']],
    ['superbpe', 'it is 1234567', ['it is ', '1', '234', '567']],
    ['tiny_aya', 'a 1234567', ['a', ' ', '1', '234', '567']],
    ['minicpm5', 'a 1234', ['a', ' ', '123', '4']],
    ['viking', 'ab 12, c', ['ab', ' ', '1', '2', ',', ' c']],
    // Capitals begin a word; the contraction stays with it, or not.
    ['gpt-4o', "HelloWorld's", ['Hello', "World's"]],
    ['tekken', "HelloWorld's 12", ['Hello', 'World', "'s", ' ', '1', '2']],
    ['youtu', '안녕hello 12', ['안녕', 'hello', ' ', '1', '2']],
    // DeepSeek: ideographs apart, punctuation with the letters behind it, marks with their letters.
    ['deepseek-v3', '你好world 12345', ['你好', 'world', ' ', '123', '45']],
    ['deepseek-v3', '.com,\n\na', ['.com', ',\n\n', 'a']],
    ['deepseek-v3', 'e\u0301a', ['e\u0301a']],
    ['spark2_5', 'a,\n\nb', ['a', ',', '\n', '\n', 'b']],
    ['deepseek-llm', 'ab cd, 12\nx', ['ab', ' cd', ',', ' ', '12', '\n', 'x']],
    ['deepseek-llm', 'ა', ['ა']],
    ['deepseek-coder', 'ab cd, 12', ['ab', ' cd', ',', ' ', '1', '2']],
    ['qwen35', 'e\u0301a!', ['e\u0301a', '!']],
    ['qwen2', 'e\u0301a', ['e', '\u0301a']],
    // Words of several parts, no words but between blanks, lines apart.
    ['exaone-moe', 'ab cd 1', ['ab cd', ' ', '1']],
    ['bloom', 'ab cd. ef', ['ab', ' cd', '.', ' ef']],
    ['ufakzeka', "Ankara'da", ['Ankara', "'da"]],
    ['laguna', "it's\n\nok", ['it', "'s", '\n\n', 'ok']],
    ['seed-coder', 'a!\n', ['a', '!', '\n']],
    ['bailingmoe', 'a!\n\nb', ['a', '!\n\n', 'b']],
    ['jais-2', `a${' '.repeat(7)}b`, ['a', '    ', '  ', ' b']],
  ])('%s: %j', (name, text, expected) => {
    expect(words(name, text)).toEqual(expected)
  })

  it('no way loses anything', () => {
    const text = "Hello's WORLD 12345 you've\t你好。かな ①² e\u0301 \r\n\n  x\u00a0y . !?… 🙂👍🏽 ﬁ\u3000z   "
    const names = whyNotRead('no such').split('supported: ')[1].split(', ')
    expect(names.length).toBeGreaterThan(70)
    expect(names.filter(name => words(name, text).join('') !== text)).toEqual([])
  })
})

describe('names that are not read', () => {
  it.each([
    ['kimi-k2', /by code of its own/],
    ['gemma4', /▁ for spaces/],
    ['no such', /supported: gpt-2, .*, default$/],
    ['constructor', /supported: gpt-2/],
  ])('%s says why', (name, reason) => {
    expect(preTokenizerJson(name)).toBeNull()
    expect(whyNotRead(name)).toMatch(reason)
  })
})
