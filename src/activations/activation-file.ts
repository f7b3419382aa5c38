// Activations from a user's file, `--activation ./my-act.ts --allow-code`. Loading such a file runs it, so a name alone
// never loads one, wherever it comes from: an option, a recipe, a checkpoint or a request. It is loaded by
// loadActivationFile, or by a caller who says `allowCode`, checked on a grid, and from then on known by its file name.

import { existsSync, rmSync, writeFileSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import path from 'node:path'
import { threadId } from 'node:worker_threads'
import { ActivationError } from '../errors.js'
import { readRegularFile, utf8 } from '../regular-file.js'
import type { Activation } from './activation.js'
import { defineActivation, type ExpressionActivation, type PlainActivation } from './define.js'
import * as expressions from './expression.js'

/** An activation is a few formulas; a larger file is something else. */
const LARGEST_SOURCE_BYTES = 1024 * 1024
const EXTENSIONS = ['.ts', '.mts', '.js', '.mjs', '.cjs']

/** Loaded files by their name without the directory, which is how an entry of theirs is spelled. */
const loaded = new Map<string, { readonly file: string; readonly act: Activation }>()

/** Whether `spec` is the path of a file rather than a name of the catalog. */
export function isActivationFile(spec: string): boolean {
  return EXTENSIONS.includes(path.extname(spec.trim()))
}

/** The files that have been loaded, for threads that need them too. */
export function loadedActivationFiles(): string[] {
  return Array.from(loaded.values(), ({ file }) => file)
}

/** The entry of a file that loadActivationFile has loaded. Throws ActivationError ACTIVATION_FILE_NOT_LOADED. */
export function loadedActivation(spec: string): Activation {
  const named = spec.trim()
  const found = loaded.get(path.basename(named))
  // A bare name is how checkpoints spell it; a path must lead to the very file that was loaded.
  const same = path.basename(named) === named || found?.file === path.resolve(named)
  if (found !== undefined && same) return found.act
  throw new ActivationError(
    'ACTIVATION_FILE_NOT_LOADED',
    `the activation ${JSON.stringify(named.slice(0, 500))} names a file, and loading a file runs the code in it. If you trust it, allow ` +
      'that: give its path as --activation with --allow-code on the command line; in the library set allowCode: true, or ' +
      'call loadActivationFile(path) first.',
  )
}

/** Options whose values name activations, in the library, in recipes and on the command line. */
const ACTIVATION_OPTIONS = ['activation', 'activations', 'from', 'before', 'to']
/** How deep these lie in a recipe: runs, one run, its activation. */
const DEEPEST = 4

/**
 * With `allowCode` true, loads every file that `options` names as an activation, also in lists and in options of
 * options; otherwise nothing is loaded, and parseActivation refuses such a path. Only for what the caller wrote, never
 * for the contents of a checkpoint. Throws as loadActivationFile does.
 */
export function loadActivationFiles(options: unknown, allowCode: boolean | undefined): void {
  if (allowCode === true)
    for (const spec of activationsIn(options)) if (isActivationFile(spec)) loadActivationFile(spec)
}

function activationsIn(options: unknown, depth = 0): string[] {
  if (typeof options !== 'object' || options === null || depth > DEEPEST) return []
  return Object.entries(options).flatMap(([key, value]) =>
    ACTIVATION_OPTIONS.includes(key)
      ? [value].flat().flatMap(spec => (typeof spec === 'string' ? [spec.trim()] : []))
      : activationsIn(value, depth + 1),
  )
}

/**
 * Loads a file whose default export is an entry: `{ name, value }` with an expression, `{ name, forward, derivative }`
 * with plain functions, or a function that is given the expression language and returns one of these. From then on
 * parseActivation knows it by the file's name. Throws ActivationError ACTIVATION_FILE_MISSING, ACTIVATION_FILE_FAILED,
 * ACTIVATION_DEFINITION or ACTIVATION_DERIVATIVE.
 */
export function loadActivationFile(file: string): Activation {
  const absolute = path.resolve(file)
  const spec = path.basename(absolute)
  const before = loaded.get(spec)
  if (before?.file === absolute) return before.act
  if (before !== undefined) {
    throw new ActivationError(
      'ACTIVATION_FILE_NAME',
      `${absolute} has the same name as ${before.file}, which is loaded already; rename one of them.`,
    )
  }
  if (!existsSync(absolute)) {
    throw new ActivationError(
      'ACTIVATION_FILE_MISSING',
      `there is no file ${absolute} to take an activation from.`,
    )
  }
  // Node's loader would wait for a pipe, or read a device, without end.
  attempt(absolute, 'reading it', () => sourceOf(absolute))
  const act = checked(entryOf(importDefault(absolute), absolute, spec), absolute)
  loaded.set(spec, { file: absolute, act })
  return act
}

function entryOf(exported: unknown, file: string, spec: string): Activation {
  const made =
    typeof exported === 'function'
      ? attempt(file, 'its default export', () => exported(expressions))
      : exported
  const entry = { name: path.parse(file).name, ...(made as object) } as Record<string, unknown>
  const plain = typeof entry.forward === 'function' && typeof entry.derivative === 'function'
  const written = typeof entry.value === 'object' && entry.value !== null && 'op' in entry.value
  if (typeof made !== 'object' || made === null || !(plain || written)) {
    throw new ActivationError(
      'ACTIVATION_DEFINITION',
      `${file}: the default export must be { name, value } with an expression as value, { name, forward, derivative } ` +
        'with two functions of x, or a function that makes one of these: ({ x, mul, sigmoid }) => ({ value: mul(x, sigmoid(x)) }).',
    )
  }
  // Checked just now: one of the two.
  const definition = entry as unknown as ExpressionActivation | PlainActivation
  return attempt(file, 'the entry', () => defineActivation(definition, spec))
}

/** −8 … 8 in steps of a tenth, off the integers where kinks and steps tend to stand. */
const GRID = Array.from({ length: 161 }, (_, i) => -8 + i / 10 + 0.0137)
const STEP = 1e-5

/** The entry, after its value and derivative have been looked at on a grid. Throws ActivationError. */
function checked(act: Activation, file: string): Activation {
  for (const draw of act.draws ? [0.123, 0.5, 0.877] : [0]) {
    for (const x of GRID) {
      const at = (where: number): number => {
        const value = attempt(file, `forward(${where})`, () => act.forward(where, draw))
        if (typeof value === 'number' && Number.isFinite(value)) return value
        throw new ActivationError(
          'ACTIVATION_DEFINITION',
          `${file}: forward(${where}) is ${String(value)}; it must be a finite number.`,
        )
      }
      // The engine skips what is said to be 0 without looking.
      if (act.zeroBelow !== undefined && !act.draws && x < act.zeroBelow && at(x) !== 0) {
        throw new ActivationError(
          'ACTIVATION_DEFINITION',
          `${file}: zeroBelow is ${act.zeroBelow}, but forward(${x}) is ${at(x)}, not exactly 0. Correct it, or leave zeroBelow out.`,
        )
      }
      const derivative = attempt(file, `derivative(${x})`, () => act.derivative(x, draw))
      const [below, here, above] = [at(x - STEP), at(x), at(x + STEP)]
      const [left, right] = [(here - below) / STEP, (above - here) / STEP]
      // Where the two sides differ there is a kink or a step, and nothing to compare with.
      const smooth = Math.abs(left - right) <= 1e-2 * (1 + Math.min(Math.abs(left), Math.abs(right)))
      const wrong = Math.abs(derivative - (left + right) / 2) > 1e-3 * (1 + Math.abs(left))
      if (!Number.isFinite(derivative) || (smooth && wrong && act.surrogate === undefined)) {
        throw new ActivationError(
          'ACTIVATION_DERIVATIVE',
          `${file}: derivative(${x}) is ${derivative}, but forward rises by ${Number(((left + right) / 2).toPrecision(6))} ` +
            'there. Correct it, or say in "surrogate" why it is meant to differ.',
        )
      }
    }
  }
  return act
}

/** Runs code of the user's; what it throws becomes an ActivationError that names the file. */
function attempt<T>(file: string, what: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof ActivationError) throw error
    const message = error instanceof Error ? error.message : String(error)
    throw new ActivationError('ACTIVATION_FILE_FAILED', `${file}: ${what} failed: ${message}`, {
      cause: error,
    })
  }
}

function importDefault(file: string): unknown {
  const require = createRequire(import.meta.url)
  const typescript =
    ['.ts', '.mts'].includes(path.extname(file)) &&
    !('typescript' in process.features && process.features.typescript)
  const from = typescript ? withoutTypes(file) : file
  try {
    return attempt(file, 'loading it', () => {
      const exported = require(from) as { default?: unknown }
      return exported.default ?? exported
    })
  } catch (error) {
    // Installed globally, the package is not found from the user's directory; the file does not need it.
    if (!(error instanceof Error) || !error.message.includes("'flicker-lm'")) throw error
    throw new ActivationError(
      'ACTIVATION_FILE_FAILED',
      `${file}: flicker-lm is not installed where the file stands. It need not import it: export default ({ x, mul, sigmoid }) => ` +
        '({ value: mul(x, sigmoid(x)) }) is given the expression language.',
      { cause: error },
    )
  } finally {
    if (from !== file) rmSync(from, { force: true })
  }
}

/** The text of a file that is about to be run. Throws UnreadFile, system errors. */
function sourceOf(file: string): string {
  return utf8(readRegularFile(file, LARGEST_SOURCE_BYTES))
}

/** Before Node 22.18 types are taken out first: into a file beside the user's, so that its imports are found. */
function withoutTypes(file: string): string {
  const strip = typeStripper()
  if (strip === null) {
    throw new ActivationError(
      'ACTIVATION_FILE_FAILED',
      `${file}: this Node (${process.version}) cannot read TypeScript; use Node 22.18 or later, or save the file as .mjs.`,
    )
  }
  const source = attempt(file, 'reading it', () => strip(sourceOf(file)))
  const beside = path.join(
    path.dirname(file),
    `.${path.parse(file).name}.${process.pid}.${threadId}.${Date.now()}.mjs`,
  )
  attempt(file, 'taking its types out', () => writeFileSync(beside, source))
  return beside
}

function typeStripper(): ((source: string) => string) | null {
  const own = (module as { stripTypeScriptTypes?: (source: string) => string }).stripTypeScriptTypes
  if (own !== undefined) return own
  try {
    const swc = createRequire(import.meta.url)('@swc/wasm-typescript') as {
      transformSync(source: string, options: object): { code: string }
    }
    return source => {
      try {
        return swc.transformSync(source, { mode: 'strip-only', module: true }).code
      } catch (error) {
        // It throws plain objects.
        const { message, startLine } = error as { message?: string; startLine?: number }
        throw new Error(`${message ?? String(error)}${startLine === undefined ? '' : ` (line ${startLine})`}`)
      }
    }
  } catch {
    return null
  }
}
