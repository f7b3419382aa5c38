// Chat templates against Jinja2 (fixtures/jinja): every feature gives Jinja2's text, or an error where Jinja2 gives one or
// where it is refused by name here; never other text.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { render } from '../../../src/engine/chat/jinja/interpreter.js'
import { RaisedError, TemplateError } from '../../../src/engine/chat/jinja/values.js'

interface Fixture {
  readonly variables: Record<string, unknown>
  /** text: what Jinja2 gives; error: what it raises. */
  readonly cases: readonly { readonly template: string; readonly text?: string; readonly error?: string }[]
}
const { cases, variables }: Fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/jinja/features.json'), 'utf8'),
)
const now = new Date(2026, 10, 27, 9, 5, 3)
const run = (template: string) => render(template, variables, { now })

/** Features of Jinja2 that are refused, with a part of the message. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  '{{ messages[0].items }}': /a callable cannot be printed/,
  '{{ 9007199254740993 }}': /an integer above 2\^53 is not supported/,
  '{{ 2 ** 100 }}': /an integer above 2\^53 is not supported/,
  "{{ '{:>{w}}'.format('a', w=5) }}": /a field inside a format specification is not supported/,
  "{{ '\\N{BULLET}' }}": /the escape \\N in a string is not supported/,
  '{{ pairs|xmlattr }}': /the filter 'xmlattr' is unknown or not supported/,
  "{{ 'a'|wordwrap(2) }}": /the filter 'wordwrap' is unknown or not supported/,
}
const isRefused = (template: string) => Object.hasOwn(REFUSED, template)
const rendered = cases.filter(({ template, text }) => text !== undefined && !isRefused(template))

describe('a template gives the text that Jinja2 gives', () => {
  it.each(rendered.map(({ template, text }) => [template, text] as const))('%s', (template, text) => {
    expect(run(template)).toBe(text)
  })
})

describe('a template that Jinja2 refuses is an error', () => {
  const refused = cases.filter(({ error }) => error !== undefined)
  it.each(refused.map(({ template, error }) => [template, error] as const))('%s (%s)', template => {
    let error: unknown
    try {
      run(template)
    } catch (thrown) {
      error = thrown
    }
    expect(error instanceof TemplateError || error instanceof RaisedError).toBe(true)
  })
})

describe('what is not supported is refused by name', () => {
  it.each(Object.entries(REFUSED))('%s', (template, message) => {
    expect(() => run(template)).toThrow(message)
    expect(cases.some(known => known.template === template)).toBe(true)
  })
})

describe('limits', () => {
  it('a number of steps can be set', () => {
    const loop = '{% for i in range(1000) %}{{ i }}{% endfor %}'
    expect(() => render(loop, {}, { steps: 500 })).toThrow(/too many steps/)
    expect(render('{{ 1 }}', {}, { steps: 500 })).toBe('1')
  })

  it.each([
    ["{{ 'x' * 1000000000 }}", /too large/],
    ['{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}', /calls itself too often/],
    [`{{ ${'['.repeat(500)}${']'.repeat(500)} }}`, /nested too deep/],
  ])('%s', (template, message) => {
    expect(() => run(template)).toThrow(message)
  })
})
