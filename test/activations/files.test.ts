// An activation of the user's own, from a file: what may stand there, and what is said when something is wrong with it.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  defineActivation,
  expression as e,
  loadActivationFile,
  parseActivation,
} from '../../src/activations/index.js'
import { ActivationError } from '../../src/errors.js'

const directory = mkdtempSync(path.join(tmpdir(), 'flicker-activations-'))
afterAll(() => rmSync(directory, { recursive: true }))

function write(name: string, text: string): string {
  const file = path.join(directory, name)
  writeFileSync(file, text)
  return file
}

function refusal(load: () => unknown): ActivationError {
  try {
    load()
  } catch (error) {
    if (error instanceof ActivationError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('an own activation', () => {
  it('may be an expression: its derivative follows, and its parameters are learned', () => {
    const act = defineActivation({
      name: 'softsign',
      value: e.div(e.x, e.add(1, e.mul(e.learned('k'), e.abs(e.x)))),
      learned: [{ name: 'k', about: 'how soon it bends', per: 'layer', start: [1] }],
    })
    expect(act.formula).toBe('x/(1 + k·|x|)')
    expect(act.forward(2, 0)).toBeCloseTo(2 / 3, 12)
    expect(act.derivative(2, 0)).toBeCloseTo(1 / 9, 12)
    expect(act.parameterDerivatives(2, 0)).toEqual([expect.closeTo(-4 / 9, 12)])
  })

  it('from a file, as functions, as an expression, or as a function of the expression language', () => {
    const files = [
      write('plain.mjs', 'export default { forward: x => 2 * x, derivative: () => 2 }'),
      write(
        'language.mjs',
        'export default ({ x, mul, sigmoid }) => ({ name: "steep", value: mul(2, x), character: "a line" })',
      ),
      write('common.cjs', 'module.exports = { name: "c", forward: x => 2 * x, derivative: () => 2 }'),
    ]
    for (const file of files) {
      const act = loadActivationFile(file)
      expect(act.forward(1.5, 0)).toBe(3)
      expect(act.derivative(1.5, 0)).toBe(2)
      // From now on it is known by the file's name, as a run or a checkpoint writes it.
      expect(act.spec).toBe(path.basename(file))
      expect(parseActivation(act.spec).forward(1, 0)).toBe(2)
      expect(parseActivation(file).spec).toBe(act.spec)
    }
    expect(parseActivation('language.mjs').name).toBe('steep')
  })

  const strips =
    'typescript' in process.features ||
    (() => {
      try {
        createRequire(import.meta.url)('@swc/wasm-typescript')
        return true
      } catch {
        return false
      }
    })()

  it.runIf(strips)('may be TypeScript, and nothing is left beside it', () => {
    const file = write(
      'typed.ts',
      'const double = (x: number): number => 2 * x\nexport default { forward: double, derivative: () => 2 as number }',
    )
    expect(loadActivationFile(file).forward(4, 0)).toBe(8)
    expect(readdirSync(directory).filter(name => name.startsWith('.'))).toEqual([])
  })

  it('a mixture may hold it when it is an expression', () => {
    loadActivationFile(write('third.mjs', 'export default ({ x, mul }) => ({ value: mul(3, x) })'))
    const mixed = parseActivation('mix:(third.mjs)@0.5,relu@0.5')
    expect([mixed.forward(1, 0.1), mixed.forward(1, 0.9)]).toEqual([3, 1])
    loadActivationFile(write('opaque.mjs', 'export default { forward: x => x, derivative: () => 1 }'))
    expect(refusal(() => parseActivation('mix:(opaque.mjs)@0.5,relu@0.5')).code).toBe(
      'ACTIVATION_NOT_AN_EXPRESSION',
    )
  })
})

describe('what is wrong with a file is said, with its name', () => {
  it.each([
    ['missing', null, 'ACTIVATION_FILE_MISSING', /there is no file/],
    [
      'wrong',
      'export default { forward: x => x * x, derivative: x => x }',
      'ACTIVATION_DERIVATIVE',
      /derivative\(-?\d/,
    ],
    [
      'nan',
      'export default { forward: x => Math.sqrt(x), derivative: () => 1 }',
      'ACTIVATION_DEFINITION',
      /is NaN/,
    ],
    [
      'text',
      'export default { forward: x => "1", derivative: () => 0 }',
      'ACTIVATION_DEFINITION',
      /is 1; it must be/,
    ],
    [
      'throws',
      'export default { forward: () => { throw new Error("no") }, derivative: () => 1 }',
      'ACTIVATION_FILE_FAILED',
      /forward\(.*failed: no/,
    ],
    ['empty', 'export const a = 1', 'ACTIVATION_DEFINITION', /default export must be/],
    ['broken', 'export default {', 'ACTIVATION_FILE_FAILED', /loading it failed/],
    [
      'builder',
      'export default () => { throw new Error("oops") }',
      'ACTIVATION_FILE_FAILED',
      /default export failed: oops/,
    ],
    [
      'slope',
      'export default e => ({ value: e.x, slope: e.mul(2, e.x) })',
      'ACTIVATION_DEFINITION',
      /surrogate/,
    ],
    [
      'claims',
      'export default { forward: x => x, derivative: () => 1, exactZeros: true, zeroBelow: 0 }',
      'ACTIVATION_DEFINITION',
      /zeroBelow is 0, but forward\(-/,
    ],
    [
      'imports',
      'import { expression } from "flicker-lm"; export default { value: expression.x }',
      'ACTIVATION_FILE_FAILED',
      /is not installed where the file stands.*=> \(\{ value/,
    ],
  ])('%s', (name, text, code, message) => {
    const file = text === null ? path.join(directory, `${name}.mjs`) : write(`${name}.mjs`, text)
    const error = refusal(() => loadActivationFile(file))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.message).toContain(`${name}.mjs`)
  })

  it('a deliberate exception says why, and then passes', () => {
    const text =
      'export default e => ({ value: e.max(e.x, 0), slope: e.sigmoid(e.x), surrogate: "to learn below 0" })'
    expect(loadActivationFile(write('meant.mjs', text)).surrogate).toBe('to learn below 0')
  })

  it('a path that nobody has loaded is not run', () => {
    write('sleeping.mjs', 'throw new Error("must not run")')
    const sleeping = refusal(() => parseActivation(path.join(directory, 'sleeping.mjs')))
    expect(sleeping.code).toBe('ACTIVATION_FILE_NOT_LOADED')
    expect(sleeping.message).toMatch(/--allow-code.*allowCode: true.*loadActivationFile/)
  })

  it('a path to another file of the same name is not taken for the loaded one', () => {
    loadActivationFile(write('same.mjs', 'export default { forward: x => 3 * x, derivative: () => 3 }'))
    expect(parseActivation('same.mjs').forward(1, 0)).toBe(3)
    expect(refusal(() => parseActivation('/elsewhere/same.mjs')).code).toBe('ACTIVATION_FILE_NOT_LOADED')
  })
})
