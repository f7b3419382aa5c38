// Recipes as files: found by path or by the name of one that comes with the package, read, parsed as YAML and checked
// with a schema. Studies and labs both read theirs through this.

import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseDocument } from 'yaml'
import type { z } from 'zod'
import { didYouMean } from '../did-you-mean.js'
import { RecipeError } from '../errors.js'
import { readRegularFile, UnreadFile, utf8 } from '../regular-file.js'
import { describeIssues } from '../schema-issues.js'

/** Folder of the package's own recipes: those of `flicker study` and those of `flicker mlp`. */
export type RecipeFolder = 'recipes' | 'recipes/lab'

/** Recipes are written by hand; a larger file is something else. */
const LARGEST_RECIPE_BYTES = 1024 * 1024
/** The parser recurses, and V8 ends the process when the stack ends inside a regular expression. */
const DEEPEST_NESTING = 100
/** Aliases may be expanded to so many nodes: enough for every recipe, and far from exhausting memory. */
const MOST_ALIASES = 100

/** The recipe of `flicker diversity`, which stands beside those of studies. */
export const DIVERSITY_RECIPE = 'diversity'

/** Names of the recipes in a folder of the package, without `.yaml`; in `recipes` those of studies. */
export function packagedRecipes(folder: RecipeFolder): string[] {
  const directory = packagedPath(folder)
  if (!fs.existsSync(directory)) return []
  return fs
    .readdirSync(directory)
    .flatMap(name => (name.endsWith('.yaml') ? [path.basename(name, '.yaml')] : []))
    .filter(name => name !== DIVERSITY_RECIPE)
}

function packagedPath(folder: RecipeFolder, ...names: string[]): string {
  return path.join(fileURLToPath(new URL('../../', import.meta.url)), folder, ...names)
}

/**
 * The text of a recipe, from a path or, where there is no such file, from the package by its name (`quick`); `name` is
 * the file's name, for messages. Throws RecipeError RECIPE_MISSING.
 */
export function readRecipeText(file: string, folder: RecipeFolder): { text: string; name: string } {
  const own = packagedPath(folder, `${path.basename(file, '.yaml')}.yaml`)
  const found = fs.existsSync(file) || !fs.existsSync(own) ? file : own
  const near = didYouMean(file, packagedRecipes(folder)).replace(/^ /, '. ')
  const problem = (why: string, cause?: unknown) =>
    new RecipeError(
      'RECIPE_MISSING',
      `cannot read the recipe ${file} (${why}); give a YAML file, or one of the package's own: ${packagedRecipes(folder).join(', ')}${near}`,
      { cause },
    )
  try {
    const text = utf8(readRegularFile(found, LARGEST_RECIPE_BYTES))
    return { text, name: path.basename(found) }
  } catch (cause) {
    if (cause instanceof UnreadFile) throw problem(`it ${cause.message}`, cause)
    throw problem((cause as NodeJS.ErrnoException).code ?? String(cause), cause)
  }
}

/** YAML as plain values, aliases resolved. Throws RecipeError RECIPE_SYNTAX that names the file and the line. */
export function parseRecipeYaml(text: string, name: string): unknown {
  const problem = (message: string, cause?: unknown) =>
    new RecipeError('RECIPE_SYNTAX', `${name}: ${message.split('\n')[0]}`, { cause })
  if (nestingBound(text) > DEEPEST_NESTING) {
    throw problem(`it is nested more than ${DEEPEST_NESTING} levels deep, or indented by more columns`)
  }
  let content: unknown
  try {
    const document = parseDocument(text, { logLevel: 'error' })
    const [syntax] = document.errors
    if (syntax !== undefined) throw problem(syntax.message)
    content = document.toJS({ maxAliasCount: MOST_ALIASES })
  } catch (cause) {
    if (cause instanceof RecipeError) throw cause
    throw problem(aliasProblem(cause as Error), cause)
  }
  if (hasCycle(content, new Set())) throw problem('an alias (*name) stands inside its own anchor (&name)')
  return content
}

/** At least as many levels as the text is deep: open brackets, and columns before the content of a line (`- - - x`). */
function nestingBound(text: string): number {
  let [open, most] = [0, 0]
  for (const character of text) {
    if (character === '[' || character === '{') open++
    else if (character === ']' || character === '}') open = Math.max(0, open - 1)
    most = Math.max(most, open)
  }
  const indents = text.split('\n').map(line => line.length - line.replace(/^[-?:\s]+/, '').length)
  return indents.reduce((deepest, indent) => Math.max(deepest, indent), most)
}

/** What the `yaml` package throws while it resolves aliases, in words that say what to do. */
function aliasProblem({ message }: Error): string {
  const unresolved = /Unresolved alias[^:]*: (.*)/.exec(message)
  if (unresolved !== null) return `the alias *${unresolved[1]} has no anchor &${unresolved[1]} before it`
  if (message.startsWith('Excessive alias count')) {
    return `its aliases expand to more than ${MOST_ALIASES} nodes; write the values out`
  }
  return message
}

function hasCycle(value: unknown, above: Set<unknown>): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (above.has(value)) return true
  above.add(value)
  const found = Object.values(value).some(child => hasCycle(child, above))
  above.delete(value)
  return found
}

/** `content` with every default filled in. Throws RecipeError RECIPE_INVALID that names the file and each wrong field. */
export function checkRecipe<T extends z.ZodType>(content: unknown, schema: T, name: string): z.output<T> {
  const result = schema.safeParse(content)
  if (result.success) return result.data
  throw new RecipeError('RECIPE_INVALID', `${name}: ${describeIssues(result.error, schema, content)}`)
}
