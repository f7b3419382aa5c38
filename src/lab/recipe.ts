// A recipe of the lab: the options of `flicker mlp` as YAML, with variants where curves differ in more than their
// activation.

import path from 'node:path'
import { loadActivationFiles } from '../activations/index.js'
import { checkRecipe, parseRecipeYaml, readRecipeText } from '../recipes/recipe-file.js'
import { type LabConfig, labSchema } from './options.js'

/**
 * Reads and checks a recipe: a file, or one of the package's own by its name (`gradual-switch`). Throws RecipeError that
 * names the file and every wrong field.
 */
export function readLabRecipe(file: string, options: { allowCode?: boolean } = {}): LabConfig {
  const { text, name } = readRecipeText(file, 'recipes/lab')
  return parseLabRecipe(text, name, options)
}

/**
 * Like readLabRecipe, from the recipe's text. `file` is for messages; a recipe without a name takes the file's. With
 * `allowCode`, activations may be paths of files, whose code then runs.
 */
export function parseLabRecipe(text: string, file: string, options: { allowCode?: boolean } = {}): LabConfig {
  const content = parseRecipeYaml(text, file) ?? {}
  const named = typeof content === 'object' ? { name: path.basename(file, '.yaml'), ...content } : content
  loadActivationFiles(named, options.allowCode)
  return checkRecipe(named, labSchema, file)
}
