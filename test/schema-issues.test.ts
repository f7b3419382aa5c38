// What a wrong option is told: its name, the value it was given, what is allowed, and the nearest name that exists.

import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { checkOptions, describeIssues } from '../src/schema-issues.js'

const inner = z.strictObject({ steps: z.int().min(1), rate: z.number().positive(), share: z.number().lt(1) })
const schema = z.strictObject({
  training: inner.partial().prefault({}),
  mode: z.enum(['dense', 'sparse']).optional(),
  name: z.string().min(1).max(5).optional(),
  slug: z.string().regex(/^a/).optional(),
  dtypes: z.array(z.string()).min(1).optional(),
  loud: z.boolean().optional(),
  all: z.union([z.literal('all'), z.array(z.int())]).optional(),
  run: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('scratch'), activation: z.string() }),
      z.strictObject({ kind: z.literal('swift'), alpha: z.number() }),
    ])
    .optional(),
})

it.each<[given: unknown, says: string]>([
  [{ training: { steps: 0 } }, 'training.steps: must be at least 1, not 0'],
  [{ training: { steps: 1.5 } }, 'training.steps: must be an integer, not 1.5'],
  [{ training: { steps: Number.NaN } }, 'training.steps: must be a number, not NaN'],
  [{ training: { rate: 0 } }, 'training.rate: must be above 0, not 0'],
  [{ training: { rate: Number.POSITIVE_INFINITY } }, 'training.rate: must be a number, not Infinity'],
  [{ training: { rate: '1' } }, 'training.rate: must be a number, not "1"'],
  [{ training: { share: 1 } }, 'training.share: must be below 1, not 1'],
  [{ training: null }, 'training: must be a mapping of keys to values, not null'],
  [
    { training: { step: 3 } },
    'training.step: unknown key. Did you mean "steps"? Keys here: steps, rate, share.',
  ],
  [{ mode: 'sparce' }, 'mode: must be one of dense, sparse, not "sparce". Did you mean "sparse"?'],
  [{ mode: 7 }, 'mode: must be one of dense, sparse, not 7'],
  [{ name: '' }, 'name: must be a text that is not empty, not ""'],
  [{ name: 'longer' }, 'name: must be a text of at most 5 characters, not "longer"'],
  [{ slug: 'b' }, 'slug: must match /^a/, not "b"'],
  [{ dtypes: [] }, 'dtypes: must be a list of at least 1 value, not []'],
  [{ dtypes: ['f32', 3] }, 'dtypes[1]: must be a text, not 3'],
  [{ loud: 'yes' }, 'loud: must be true or false, not "yes"'],
  [{ all: 'some' }, 'all: must be "all" or a list, not "some"'],
  [{ all: [1, 2.5] }, 'all[1]: must be an integer, not 2.5'],
  [{ run: { kind: 'swfit' } }, 'run.kind: must be one of scratch, swift, not "swfit". Did you mean "swift"?'],
  [{ run: {} }, 'run.kind: is missing (one of scratch, swift)'],
  [{ run: { kind: 'swift' } }, 'run.alpha: is missing (a number)'],
  [
    { run: { kind: 'scratch', activation: 'x', alpha: 1 } },
    'run.alpha: unknown key. Keys here: kind, activation.',
  ],
  [{ name: 5, loud: 1 }, 'name: must be a text, not 5; loud: must be true or false, not 1'],
  ['text', 'the options: must be a mapping of keys to values, not "text"'],
])('%j: %s', (given, says) => {
  const result = schema.safeParse(given)
  expect(result.success).toBe(false)
  if (result.error !== undefined) expect(describeIssues(result.error, schema, given)).toContain(says)
  expect(() => checkOptions(schema, given)).toThrow(
    expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining(says) }),
  )
})

describe('a message', () => {
  it('spells the option as its writer does', () => {
    const given = { training: { steps: 0 } }
    const { error } = schema.safeParse(given)
    expect(error).toBeDefined()
    if (error !== undefined) {
      expect(describeIssues(error, schema, given, path => `--${String(path.at(-1))}`)).toBe(
        '--steps: must be at least 1, not 0',
      )
    }
  })

  it('shows the beginning of a long value, and survives values that JSON cannot hold', () => {
    const message = (given: unknown) => {
      try {
        checkOptions(schema, given)
      } catch (error) {
        return String(error)
      }
      return 'accepted'
    }
    expect(message({ loud: 'x'.repeat(10_000) }).length).toBeLessThan(200)
    const circular: { loud?: unknown } = {}
    circular.loud = circular
    expect(message(circular)).toContain('loud: must be true or false, not [object Object]')
    expect(message({ name: 10n })).toContain('name: must be a text, not 10')
    expect(message({ loud: () => 1 })).toContain('loud: must be true or false, not a function')
  })

  it('never has the wording of the schema library', () => {
    for (const given of [
      { training: { steps: -1, rate: 'x' } },
      { all: {} },
      { dtypes: {} },
      3,
      undefined,
      null,
    ]) {
      const { error } = schema.safeParse(given)
      expect(error).toBeDefined()
      if (error === undefined) continue
      expect(describeIssues(error, schema, given)).not.toMatch(/Too small|Too big|Invalid|expected|received/)
    }
  })
})

it('a complaint of an unknown kind keeps the words of the library, with the option and the value', () => {
  const issue = {
    code: 'invalid_tuple',
    path: ['name'],
    message: 'Invalid tuple',
  } as unknown as z.core.$ZodIssue
  expect(describeIssues({ issues: [issue] }, schema, { name: 'x' })).toBe(
    'name: is not allowed (Invalid tuple): "x"',
  )
})

it('a wrong key of a record and a wrong element of a set are named with what they must be', () => {
  const record = z.record(z.string().min(3), z.number())
  const keyed = record.safeParse({ a: 1 })
  expect(describeIssues(keyed.error!, record, { a: 1 })).toMatch(/must be a text of at least 3 characters/)
  const holder = z.object({ ids: z.map(z.string(), z.object({ n: z.number() })) })
  const given = { ids: new Map([[{}, { n: 'x' }]]) }
  const found = holder.safeParse(given)
  expect(found.success).toBe(false)
  expect(describeIssues(found.error!, holder, given)).toContain('ids')
})
