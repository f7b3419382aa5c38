// The options of the lab. The schemas are the one place where names, defaults and ranges stand: recipes, flags and
// the library all go through them.

import { z } from 'zod'
import { parseActivation } from '../activations/index.js'
import { activationSchema } from '../activations/schema.js'
import { OptionError } from '../errors.js'
import { labDataSchema } from './data/index.js'
import { scheduleSchema } from './schedule.js'

const count = z.int().min(1)
const seed = z.int().min(0).max(0xffff_ffff)

/** The five activations of the blog. */
export const BLOG_ACTIVATIONS = ['relu', 'silu', 'stoch', 'learnable_stoch', 'gumbel_stoch'] as const

/** What one network and its training are made of; a variant of a recipe may set each of these for itself. */
export const networkSchema = z.strictObject({
  /** Hidden layers, which alternate between `bottleneck` and the number of features. */
  nLayers: count.max(1000).default(4),
  /** Width of the first, third, … hidden layer. Default: min(4, number of features). */
  bottleneck: count.optional(),
  /** Share of hidden activations set to 0 while training, the others scaled up (Srivastava et al. 2014). */
  dropout: z.number().min(0).lt(1).default(0),
  epochs: count.default(100),
  batchSize: count.default(128),
  lr: z.number().positive().default(0.001),
  optimizer: z.enum(['adam', 'adamw', 'sgd']).default('adam'),
  /** adam and sgd: added to the gradient; adamw: decoupled. */
  weightDecay: z.number().min(0).default(0),
  /** sgd alone. */
  momentum: z.number().min(0).lt(1).default(0.9),
  /** Probability of SiLU of those activations that have a p and were not given one. */
  p: z.number().min(0).max(1).optional(),
  /** While training, draw the activation or take the mean over its draws. */
  trainMode: z.enum(['drawn', 'expectation']).default('drawn'),
  /** On the validation set, draw the activation or take the mean over its draws. */
  testMode: z.enum(['drawn', 'expectation']).default('drawn'),
  /** New draws at every step, or the same ones for a whole epoch. */
  drawEvery: z.enum(['step', 'epoch']).default('step'),
  /** Settings of the activation that move over training, by name: `p`, `temperature`. */
  schedule: z.record(z.string(), scheduleSchema).default({}),
})

/** Fields that may be left out, and then have no default either. */
type WithoutDefaults<Shape> = {
  [Key in keyof Shape]: Shape[Key] extends z.ZodDefault<infer Field> ? z.ZodOptional<Field> : Shape[Key]
}

function withoutDefaults<Shape extends z.ZodRawShape>(shape: Shape): WithoutDefaults<Shape> {
  const fields = Object.entries(shape).map(([key, field]) => [
    key,
    field instanceof z.ZodDefault ? z.optional(field.unwrap()) : field,
  ])
  return Object.fromEntries(fields) as WithoutDefaults<Shape>
}

/** One curve of the figures: an activation with what it changes. */
export const variantSchema = z.strictObject({
  ...withoutDefaults(networkSchema.shape),
  /** File name and column of results.csv. */
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/i, 'must be letters, digits, ".", "_" and "-"'),
  /** For people; the name by default. */
  label: z.string().optional(),
  activation: activationSchema,
})

/** Many draws at test time as a measure of uncertainty. */
export const uncertaintySchema = z.strictObject({
  /** Draws per sample. */
  draws: count.max(10_000).default(100),
  /** Points far from the data: normal numbers with this standard deviation in every standardized feature. */
  farScale: z.number().positive().default(4),
})

export const labSchema = z.strictObject({
  /** Directory of the results under `runs/`. */
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]*$/i, 'must be letters, digits, ".", "_" and "-"')
    .default('mlp'),
  /** Heading of the page. */
  title: z.string().min(1).default('Activations on a small feed-forward network'),
  /** What is asked, for the page; one paragraph. */
  question: z.string().optional(),
  ...labDataSchema.shape,
  ...networkSchema.shape,
  /** Activations to train, each with all runs. */
  activations: z
    .array(activationSchema)
    .min(1)
    .default([...BLOG_ACTIVATIONS]),
  /** In place of `activations`: curves that differ in more than the activation. */
  variants: z.array(variantSchema).min(1).optional(),
  /** Runs per activation, with seeds seed, seed + 1, … */
  nRuns: count.max(100_000).default(10),
  /** Worker threads; never more than there are runs to do, or cores. Default: one per core. */
  nWorkers: count.max(1024).optional(),
  seed: seed.default(0),
  uncertainty: uncertaintySchema.optional(),
})
/** What a user writes: everything has a default. */
export type LabOptions = z.input<typeof labSchema>
export type LabConfig = z.output<typeof labSchema>

/** One curve with everything that decides its numbers, apart from the data and the seed. */
export type Variant = Omit<z.output<typeof networkSchema>, 'p'> & {
  readonly name: string
  readonly label: string
  /** Canonical spelling. */
  readonly activation: string
}

/**
 * The curves that a configuration asks for. Throws OptionError when two have one name, or a schedule moves what the
 * activation does not have.
 */
export function variantsOf(config: LabConfig): Variant[] {
  const written: readonly z.output<typeof variantSchema>[] =
    config.variants ?? config.activations.map(activation => ({ name: slug(activation), activation }))
  const variants = written.map(variant => {
    const { p, label, ...network } = { ...pick(config, networkSchema), ...defined(variant) }
    const spec = withP(variant.activation, p)
    const activation = parseActivation(spec)
    for (const setting of Object.keys(network.schedule)) {
      if (setting in activation.settings) continue
      const known = Object.keys(activation.settings).join(', ') || 'none'
      throw new OptionError(
        'LAB_SCHEDULE_UNKNOWN',
        `${variant.name}: ${activation.name} has no setting "${setting}" to schedule; its settings: ${known}`,
      )
    }
    return { ...network, label: label ?? labelOf(variant, spec), activation: activation.spec }
  })
  const twice = variants.find(({ name }, i) => variants.findIndex(other => other.name === name) !== i)
  if (twice !== undefined) {
    throw new OptionError(
      'LAB_VARIANT_TWICE',
      `"${twice.name}" is asked for twice; keep one, or give it another name`,
    )
  }
  return variants
}

/** What people call it: the activation as it was written, unless a recipe names the curve. */
function labelOf(variant: { name: string; activation: string }, spec: string): string {
  return variant.name === slug(variant.activation) ? spec : variant.name
}

/** `stoch:p=0.3,per=sample` as a name for files: `stoch-p-0.3-per-sample`. */
function slug(spec: string): string {
  return spec.replace(/[^a-z0-9._]+/gi, '-').replace(/^[^a-z0-9]+|-$/gi, '')
}

/** The spelling with p added where the activation has one and was not given it. */
function withP(spec: string, p: number | undefined): string {
  const activation = parseActivation(spec)
  if (p === undefined || !('p' in activation.settings) || /[:,]\s*p\s*=/.test(spec)) return spec
  return activation.with({ p }).spec
}

function pick<T extends z.ZodObject>(config: LabConfig, schema: T): z.output<T> {
  const entries = Object.entries(config).filter(([key]) => key in schema.shape)
  // `config` has passed a schema that holds every key of this one.
  return Object.fromEntries(entries) as z.output<T>
}

/** `object` without the keys that were left out. */
function defined<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T
}
