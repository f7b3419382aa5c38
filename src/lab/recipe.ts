// A recipe of the lab: the options of `flicker mlp` as YAML, with variants where curves differ in more than their
// activation.

import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseDocument } from 'yaml'
import { RecipeError } from '../errors.js'
import { describeIssues } from '../study/recipe-issues.js'
import { type LabConfig, labSchema } from './options.js'

const packaged = fileURLToPath(new URL('../../recipes/lab/', import.meta.url))

/** Names of the recipes that come with the package. */
export function packagedLabRecipes(): string[] {
  if (!fs.existsSync(packaged)) return []
  return fs
    .readdirSync(packaged)
    .flatMap(file => (file.endsWith('.yaml') ? [path.basename(file, '.yaml')] : []))
}

/**
 * Reads and checks a recipe: a file, or one of the package's own by its name (`gradual-switch`). Throws RecipeError that
 * names the file and every wrong field.
 */
export function readLabRecipe(file: string): LabConfig {
  const own = path.join(packaged, `${path.basename(file, '.yaml')}.yaml`)
  const found = fs.existsSync(file) || !fs.existsSync(own) ? file : own
  let text: string
  try {
    text = fs.readFileSync(found, 'utf8')
  } catch (cause) {
    throw new RecipeError(
      'RECIPE_MISSING',
      `cannot read the recipe ${file} (${(cause as NodeJS.ErrnoException).code}); give a YAML file, or one of the package's own: ${packagedLabRecipes().join(', ')}`,
      { cause },
    )
  }
  return parseLabRecipe(text, path.basename(found))
}

/** Like readLabRecipe, from the recipe's text. `file` is for messages, and its name the name that goes without saying. */
export function parseLabRecipe(text: string, file: string): LabConfig {
  const document = parseDocument(text)
  const [syntax] = document.errors
  if (syntax !== undefined)
    throw new RecipeError('RECIPE_SYNTAX', `${file}: ${syntax.message.split('\n')[0]}`)
  const content: unknown = document.toJS({ maxAliasCount: 100 }) ?? {}
  const named = typeof content === 'object' ? { name: path.basename(file, '.yaml'), ...content } : content
  const result = labSchema.safeParse(named)
  if (!result.success) {
    throw new RecipeError('RECIPE_INVALID', `${file}: ${describeIssues(result.error, labSchema, named)}`)
  }
  return result.data
}
