// The ways of drawing that are compared: a short YAML file in which lists make a grid.

import { z } from 'zod'
import { RecipeError } from '../errors.js'
import { checkRecipe, parseRecipeYaml, readRecipeText } from '../recipes/recipe-file.js'

/** One value or several. */
const values = (each: z.ZodNumber) =>
  z.union([each, z.array(each).min(1)]).transform(given => (Array.isArray(given) ? given : [given]))

const waySchema = z.strictObject({
  /** 0 always takes the most likely token; with `p` texts differ all the same. */
  temperature: values(z.number().min(0)).optional(),
  topP: values(z.number().gt(0).max(1)).optional(),
  minP: values(z.number().min(0).max(1)).optional(),
  topK: values(z.number().int().min(1)).optional(),
  /** StochA's p: the probability of SiLU where the gate is below 0. */
  p: values(z.number().min(0).max(1)).optional(),
  /** The activation that takes `p`; by default `stocha`, for a model with SiLU the one that keeps SiLU above 0. */
  activation: z.string().optional(),
})

export const settingsSchema = z.strictObject({
  title: z.string().default('Ways of drawing'),
  question: z.string().optional(),
  /** Samples of each prompt. */
  n: z.int().min(2).max(1024).default(32),
  /** Tokens of each sample at most. */
  maxTokens: z.int().min(1).default(48),
  seed: z.int().min(0).default(1),
  /** Generate on after an end-of-text token: all samples have the same length. */
  ignoreEos: z.boolean().default(false),
  stop: z.array(z.string().min(1)).default([]),
  /** What likelihoods are measured with, and what draws without `p`; the model's own activation by default. */
  deterministic: z.string().optional(),
  ways: z.array(waySchema).min(1),
})
export type DiversitySettings = z.output<typeof settingsSchema>

/** One way of drawing. */
export interface Way {
  readonly label: string
  /** What is turned: ways of one family are one curve. */
  readonly family: string
  readonly temperature: number
  readonly topP?: number
  readonly minP?: number
  readonly topK?: number
  readonly p?: number
  /** The activation that takes `p`, where the settings name one. */
  readonly activation?: string
}

/** The activation that a way draws with; `deterministic`: what the model runs with otherwise. */
export function activationOf({ p, activation }: Way, deterministic: string): string {
  if (p === undefined) return deterministic
  // With the identity above 0 a network that was trained with SiLU would be another one, drawn or not.
  const drawn = activation ?? (deterministic === 'silu' ? 'stocha:positive=silu' : 'stocha')
  return `${drawn}${drawn.includes(':') ? ',' : ':'}p=${p}`
}

/**
 * The settings in a YAML file, or the package's own by name. Throws RecipeError RECIPE_MISSING, RECIPE_SYNTAX,
 * RECIPE_INVALID (a way that always gives the same text, or is listed twice, included).
 */
export function readDiversitySettings(file: string): {
  readonly settings: DiversitySettings
  readonly ways: Way[]
} {
  const { text, name } = readRecipeText(file, 'recipes')
  return parseDiversitySettings(text, name)
}

export function parseDiversitySettings(
  text: string,
  name: string,
): { readonly settings: DiversitySettings; readonly ways: Way[] } {
  const settings = checkRecipe(parseRecipeYaml(text, name), settingsSchema, name)
  const ways = settings.ways.flatMap(grid)
  const seen = new Set<string>()
  for (const way of ways) {
    const draws = way.p !== undefined && way.p > 0 && way.p < 1
    const problem =
      way.temperature === 0 && !draws
        ? 'always gives the same text; set a temperature above 0, or p between 0 and 1'
        : way.temperature === 0 && (way.topP ?? way.minP ?? way.topK) !== undefined
          ? 'has nothing to choose among at temperature 0; leave topP, minP and topK out, or raise the temperature'
          : seen.has(way.label)
            ? 'is listed twice'
            : null
    if (problem !== null) throw new RecipeError('RECIPE_INVALID', `${name}: ways: “${way.label}” ${problem}`)
    seen.add(way.label)
  }
  return { settings, ways }
}

type GivenWay = DiversitySettings['ways'][number]

/** Every combination of the values of a way. */
function grid({ activation, ...given }: GivenWay): Way[] {
  // Temperature 1 is the model as it is; with p alone it is the draw that makes texts differ.
  const temperatures = given.temperature ?? [given.p === undefined ? 1 : 0]
  const optional = (list: readonly number[] | undefined) => list ?? [undefined]
  return optional(given.p).flatMap(p =>
    optional(given.topP).flatMap(topP =>
      optional(given.minP).flatMap(minP =>
        optional(given.topK).flatMap(topK =>
          temperatures.map(temperature => {
            const numbers = { temperature, topP, minP, topK, p }
            return { label: labelOf(numbers, activation), family: familyOf(numbers), ...numbers, activation }
          }),
        ),
      ),
    ),
  )
}

type Numbers = Pick<Way, 'temperature' | 'topP' | 'minP' | 'topK' | 'p'>

function labelOf({ temperature, topP, minP, topK, p }: Numbers, activation?: string): string {
  const parts = [
    ...(p === undefined ? [] : [`${activation === undefined ? '' : `${activation} `}p ${p}`]),
    ...(temperature === 0 ? [] : [`T ${temperature}`]),
    ...(topK === undefined ? [] : [`top-k ${topK}`]),
    ...(topP === undefined ? [] : [`top-p ${topP}`]),
    ...(minP === undefined ? [] : [`min-p ${minP}`]),
  ]
  return parts.length === 0 ? 'greedy' : parts.join(', ')
}

function familyOf({ temperature, topP, minP, topK, p }: Numbers): string {
  const truncation = [
    ...(topK === undefined ? [] : ['top-k']),
    ...(topP === undefined ? [] : ['top-p']),
    ...(minP === undefined ? [] : ['min-p']),
  ].join(' and ')
  if (p === undefined) return truncation === '' ? 'temperature' : truncation
  return ['StochA', ...(temperature === 0 ? [] : [truncation === '' ? 'temperature' : truncation])].join(
    ' and ',
  )
}
