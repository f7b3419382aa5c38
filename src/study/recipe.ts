// A recipe: the YAML file that says what a study trains and measures. Its keys are the names of the options in code.

import { z } from 'zod'
import { listActivations, loadActivationFiles } from '../activations/index.js'
import { activationSchema } from '../activations/schema.js'
import { FlickerError, RecipeError } from '../errors.js'
import { checkRecipe, parseRecipeYaml, readRecipeText } from '../recipes/recipe-file.js'
import {
  ffnForm,
  modelSchema,
  regularizerSchema,
  type StrategyInput,
  splitFrom,
  strategySchemas,
  trainingSchema,
} from '../train/index.js'
import { studyTasksSchema } from './tasks.js'

const count = z.int().min(1)

/** What every run of a study has beside its strategy. */
const runFields = {
  /** Name of the run's directory. */
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/i, 'must be letters, digits, ".", "_" and "-"'),
  /** For people; the name by default. */
  label: z.string().optional(),
  /** Overrides training.seed. */
  seed: z.int().min(0).optional(),
  /** Path of a checkpoint to start from, whose shape and tokenizer must then be the recipe's; of swift an activation too. */
  from: z.string().min(1).optional(),
  /** Overrides model.ffn. */
  ffn: ffnForm.optional(),
  /** Overrides model.intermediateSize. */
  intermediateSize: count.optional(),
  /** A penalty that makes the model sparse. */
  regularizer: regularizerSchema.optional(),
}
const [scratch, swift, stocha, anneal, relufy] = strategySchemas
const runSchema = z.discriminatedUnion('strategy', [
  scratch.extend(runFields),
  swift.extend({ ...runFields, from: z.string().min(1).default('silu') }),
  stocha.extend(runFields),
  anneal.extend(runFields),
  relufy.extend(runFields),
])

const measureSchema = z.strictObject({
  /** Held-out tokens of the final measurement, a sample drawn from all of them. Default: all. */
  evalTokens: count.optional(),
  /** Weight types of the decoding speed. */
  dtypes: z.array(z.enum(['f32', 'bf16'])).default(['f32', 'bf16']),
  /** Tokens per timed pass, and passes: dense and sparse alternate. With fewer than six no ratio is beyond its noise. */
  decodeTokens: count.default(100),
  decodePasses: count.default(15),
  /** Default: the first words of held-out text. */
  prompt: z.string().min(1).optional(),
  /** 0 takes no samples. */
  sampleTokens: z.int().min(0).default(96),
  /** Of the first sample, drawn with the first of `sampleSeeds`. */
  sampleTemperature: z.number().min(0).max(10).default(0.8),
  /** StochA samples: decoded greedily, drawn with probability p, one per seed. */
  sampleP: z.number().min(0).max(1).default(0.3),
  sampleSeeds: z.array(z.int().min(0)).default([1, 2, 3]),
})

const recipeFields = {
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/i, 'must be letters, digits, ".", "_" and "-"'),
  title: z.string(),
  /** `default`, or the path of a file or directory; relative to the working directory. */
  corpus: z.string().default('default'),
  /** Use only the first so many bytes of documents (in hash order); 0 takes all. */
  corpusBytes: z.int().min(0).default(0),
  /** `bytes`, `chars`, `bpe:<size>`, or the path of a tokenizer. */
  tokenizer: z.string().default('bytes'),
  model: modelSchema.prefault({}),
  training: trainingSchema.prefault({}),
  measure: measureSchema.prefault({}),
  /** Benchmarks that every trained model is asked. */
  tasks: studyTasksSchema.optional(),
  /** Every run is trained once with each of these, and reported as mean and deviation. */
  seeds: z.array(z.int().min(0)).min(1).optional(),
  runs: z.array(runSchema).default([]),
}

const recipeSchema = z.strictObject({
  ...recipeFields,
  /** Besides `runs`, one run from scratch with each of these activations; `all` is the whole catalog. */
  activations: z.union([z.literal('all'), z.array(activationSchema).min(1)]).optional(),
  /** Laid over the recipe where there are no native kernels: a smaller model, fewer steps. */
  portable: z
    .strictObject({
      model: z.record(z.string(), z.unknown()).optional(),
      training: z.record(z.string(), z.unknown()).optional(),
      measure: z.record(z.string(), z.unknown()).optional(),
      corpusBytes: z.int().min(0).optional(),
    })
    .optional(),
})

export interface RecipeOptions {
  /** Lay the recipe's `portable` section over it. */
  readonly portable?: boolean
  /** Activations may be paths of files, whose code then runs (default false). */
  readonly allowCode?: boolean
}

export type Recipe = Omit<z.infer<typeof recipeSchema>, 'portable' | 'activations'>
export type RunOptions = Recipe['runs'][number]

/**
 * Reads and checks a recipe: a file, or one of the package's own by its name (`quick`). With `portable`, its `portable`
 * section is laid over it. Throws RecipeError that names the file and every wrong field.
 */
export function readRecipe(file: string, options: RecipeOptions = {}): Recipe {
  const { text, name } = readRecipeText(file, 'recipes')
  return parseRecipe(text, name, options)
}

/** Like readRecipe, from the recipe's text. `name` is for messages. */
export function parseRecipe(text: string, name: string, options: RecipeOptions = {}): Recipe {
  const content = parseRecipeYaml(text, name)
  loadActivationFiles(content, options.allowCode)
  const recipe = check(content, name)
  const { portable, ...rest } = recipe
  if (options.portable !== true || portable === undefined) return rest
  // Laid over what the user wrote, not over what the defaults made of it, and checked again.
  const written = content as Record<string, Record<string, unknown> | undefined>
  const { portable: _, ...smaller } = check(
    {
      ...written,
      corpusBytes: portable.corpusBytes ?? recipe.corpusBytes,
      model: { ...written.model, ...portable.model },
      training: { ...written.training, ...portable.training },
      measure: { ...written.measure, ...portable.measure },
    },
    `${name} (portable)`,
  )
  return smaller
}

function check(content: unknown, name: string): Recipe & Pick<z.infer<typeof recipeSchema>, 'portable'> {
  const invalid = (message: string) => new RecipeError('RECIPE_INVALID', `${name}: ${message}`)
  const { activations = [], ...recipe } = checkRecipe(content, recipeSchema, name)
  const runs = [...recipe.runs, ...runsOf(activations)]
  if (runs.length === 0) throw invalid('there is nothing to train; give runs, or activations')
  const names = runs.map(run => run.name)
  const twice = names.find((run, i) => names.indexOf(run) !== i)
  if (twice !== undefined) throw invalid(`two runs are called "${twice}"`)
  for (const [i, run] of runs.entries()) {
    try {
      courseOf(run)
    } catch (error) {
      if (!(error instanceof FlickerError)) throw error
      throw invalid(`runs[${i}].${error.message}`)
    }
  }
  const seeded = runs.findIndex(run => run.seed !== undefined)
  if (recipe.seeds !== undefined && seeded >= 0) {
    throw invalid(`runs[${seeded}].seed contradicts seeds: every run is trained once with each of them`)
  }
  return { ...recipe, runs }
}

/** The strategy of a run, and the checkpoint that it starts from. Throws OptionError FROM_UNKNOWN. */
export function courseOf(run: RunOptions): { strategy: StrategyInput; checkpoint?: string } {
  const {
    name: _,
    label: __,
    seed: ___,
    ffn: ____,
    intermediateSize: _____,
    regularizer: ______,
    from,
    ...own
  } = run
  if (from === undefined) return { strategy: own }
  const { activation, checkpoint } = splitFrom(run.strategy, from)
  return activation !== undefined && own.strategy === 'swift'
    ? { strategy: { ...own, from: activation } }
    : { strategy: own, ...(checkpoint !== undefined && { checkpoint }) }
}

/** A run from scratch for each activation, called as it is typed. */
function runsOf(activations: 'all' | readonly string[]): RunOptions[] {
  const entries = activations === 'all' ? listActivations() : activations.map(spec => ({ name: spec, spec }))
  return entries.map(({ name, spec }) => ({
    name: name.replace(/[^a-z0-9._-]+/gi, '-'),
    label: name,
    strategy: 'scratch',
    activation: spec,
  }))
}
