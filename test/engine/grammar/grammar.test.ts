// Texts with a grammar: whatever the weights, the seed and the sampling options are, the text fits; zod, which knows nothing of
// XGrammar, reads the schemas and the texts.

import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { adaptJsonSchema } from '../../../src/engine/grammar/json-schema.js'
import type { Grammar, JsonSchema } from '../../../src/engine/index.js'
import { servedModel } from '../../serve/served-model.js'

const model = servedModel()
afterAll(() => model.dispose())

function textOf(grammar: Grammar, seed: number, maxTokens = 90) {
  return model.complete('ab', { grammar, seed, temperature: 1, maxTokens })
}

const schemas: Record<string, JsonSchema> = {
  'an object': {
    type: 'object',
    properties: { a: { type: 'integer', minimum: 3, maximum: 12 }, b: { enum: ['x', 'y"z'] } },
    required: ['a', 'b'],
  },
  'a list': { type: 'array', items: { type: 'boolean' }, minItems: 2, maxItems: 3 },
  'a text of few characters': { type: 'string', minLength: 2, maxLength: 4 },
  'a text of a least length': { type: 'string', minLength: 3 },
  'a text with a wide pattern': { type: 'string', pattern: '^x.[^a]\\S?[ -~]$' },
  'names with a pattern': {
    type: 'object',
    patternProperties: { '^[^x]$': { type: 'null' } },
    minProperties: 1,
  },
  'a text with a pattern': { type: 'string', pattern: '^(ab|cd){2}$' },
  'one of several': {
    anyOf: [{ type: 'null' }, { type: 'object', properties: { c: { const: 1 } }, required: ['c'] }],
  },
  'a schema that refers to itself': {
    $defs: {
      node: {
        type: 'object',
        properties: { next: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/node' }] } },
        required: ['next'],
      },
    },
    $ref: '#/$defs/node',
  },
}

describe('a text with a schema', () => {
  it.each(Object.entries(schemas))('is %s, or is cut off', async (_, schema) => {
    const reads = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])
    let whole = 0
    for (let seed = 0; seed < 12; seed++) {
      const { text, finishReason } = await textOf({ type: 'json_schema', schema }, seed)
      if (finishReason !== 'stop') continue
      whole++
      expect(reads.safeParse(JSON.parse(text)), text).toMatchObject({ success: true })
    }
    expect(whole).toBeGreaterThan(0)
  })

  it('is any object for json_object, and never another value', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const { text, finishReason } = await textOf({ type: 'json_object' }, seed)
      expect(text.trimStart()[0]).toBe('{')
      if (finishReason === 'stop') expect(JSON.parse(text)).toBeTypeOf('object')
    }
  })

  it('is what a regular expression or a grammar allows', async () => {
    for (let seed = 0; seed < 5; seed++) {
      expect((await textOf({ type: 'regex', pattern: '[0-9]{3}(a|b)' }, seed)).text).toMatch(/^[0-9]{3}[ab]$/)
      expect((await textOf({ type: 'ebnf', grammar: 'root ::= "x" | "y" [0-9]' }, seed)).text).toMatch(
        /^(x|y[0-9])$/,
      )
    }
  })

  it('obeys the samplers among what is allowed: at temperature 0 the most likely allowed token', async () => {
    const { tokens } = await model.complete('ab', {
      grammar: { type: 'regex', pattern: '[0-9]' },
      topLogprobs: 257,
    })
    const digits = tokens[0].topLogprobs?.filter(({ text }) => /^[0-9]$/.test(text))
    expect(digits).toHaveLength(10)
    expect(tokens[0].text).toBe(digits?.[0].text)
  })

  it('is that of its sequence, however many are written together', async () => {
    const grammar: Grammar = { type: 'json_schema', schema: schemas['an object'] }
    const options = { grammar, seed: 3, temperature: 1, maxTokens: 40 }
    const together = await model.completeMany('ab', { ...options, n: 3 })
    for (const [sequence, { text }] of together.entries()) {
      expect(text).toBe((await model.complete('ab', { ...options, sequence })).text)
    }
  })
})

describe('a grammar that cannot be followed', () => {
  it.each<[string, Grammar, RegExp]>([
    ['an unknown type', { type: 'json_schema', schema: { type: 'foo' } }, /foo/],
    ['no value at all', { type: 'json_schema', schema: false }, /false/],
    ['a reference to nothing', { type: 'json_schema', schema: { $ref: '#/nothing' } }, /nothing/],
    ['a broken pattern', { type: 'json_schema', schema: { type: 'string', pattern: '((' } }, /parenthesis/],
    [
      'a minimum above the maximum',
      { type: 'json_schema', schema: { type: 'integer', minimum: 5, maximum: 3 } },
      /minimum/,
    ],
    ['a broken grammar', { type: 'ebnf', grammar: 'root ::= "a" [0-9' }, /Unterminated/],
    ['a broken expression', { type: 'regex', pattern: '((' }, /parenthesis/],
  ])('is refused with the reason: %s', async (_, grammar, reason) => {
    const error = await textOf(grammar, 0).catch(error => error)
    expect(error).toMatchObject({ code: 'GRAMMAR_REFUSED', message: expect.stringMatching(reason) })
    expect(error.message).not.toMatch(/\.cc|\/Users|Aborted/)
    // And nothing else has broken.
    expect((await textOf({ type: 'regex', pattern: '[0-9]' }, 0)).text).toMatch(/^[0-9]$/)
  })

  it.each<[string, JsonSchema]>([
    ['not', { not: { type: 'string' } }],
    ['uniqueItems', { type: 'array', uniqueItems: true }],
    ['multipleOf', { type: 'object', properties: { a: { type: 'integer', multipleOf: 3 } } }],
    ['https://x/y', { $ref: 'https://x/y' }],
    ['required', { anyOf: [{ type: 'object' }], required: ['a'] }],
    ['"z"', { type: 'object', properties: { a: {} }, required: ['z'] }],
    ['maxLength', { type: 'string', pattern: '^a+$', maxLength: 2 }],
    ['pattern', { type: 'string', pattern: '^a"b$' }],
    ['pattern', { type: 'string', pattern: '^\\p{L}$' }],
    ['allOf', { allOf: [{ type: 'integer' }, { type: 'number' }] }],
  ])('is refused where a part of it would have no effect: %s', (part, schema) => {
    expect(() => adaptJsonSchema(schema)).toThrow(part)
  })

  it('is not confused by properties that are called like keywords', () => {
    const properties = { not: { type: 'string' }, if: { enum: ['multipleOf'] }, required: { type: 'null' } }
    expect(() => adaptJsonSchema({ type: 'object', properties, required: ['not', 'required'] })).not.toThrow()
  })

  it('is refused when it is nested without end', () => {
    let schema: JsonSchema = { type: 'integer' }
    for (let i = 0; i < 10_000; i++) schema = { type: 'array', items: schema }
    expect(() => adaptJsonSchema(schema)).toThrow(expect.objectContaining({ code: 'GRAMMAR_REFUSED' }))
  })

  it('contradicts ignoreEos, since the text ends where the grammar does', async () => {
    await expect(
      model.complete('a', { grammar: { type: 'json_object' }, ignoreEos: true }),
    ).rejects.toMatchObject({ code: 'GRAMMAR_END' })
  })

  it.each<[string, unknown]>([
    ['no type', {}],
    ['text', 'json'],
    ['a schema of text', { type: 'json_schema', schema: 'x' }],
    ['a pattern of numbers', { type: 'regex', pattern: 5 }],
  ])('is refused with its type: %s', async (_, grammar) => {
    await expect(model.complete('a', { grammar: grammar as Grammar })).rejects.toMatchObject({
      code: 'OPTION_TYPE',
    })
  })
})
