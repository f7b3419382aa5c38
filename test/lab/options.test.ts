// Options and recipes of the lab: what they become, and what is refused.

import { describe, expect, it } from 'vitest'
import { labSchema, variantsOf } from '../../src/lab/options.js'
import { parseLabRecipe, readLabRecipe } from '../../src/lab/recipe.js'
import { packagedRecipes } from '../../src/recipes/recipe-file.js'

const variants = (options: object) => variantsOf(labSchema.parse(options))

describe('options of the lab', () => {
  it("are the blog's when nothing is said", () => {
    const config = labSchema.parse({})
    expect(config).toMatchObject({
      nSamples: 5000,
      nFeatures: 30,
      nClasses: 2,
      nLayers: 4,
      epochs: 100,
      lr: 0.001,
    })
    expect(config).toMatchObject({
      batchSize: 128,
      testSize: 0.2,
      nRuns: 10,
      optimizer: 'adam',
      weightDecay: 0,
    })
    expect(variantsOf(config).map(({ name }) => name)).toEqual([
      'relu',
      'silu',
      'stoch',
      'learnable_stoch',
      'gumbel_stoch',
    ])
  })

  it('--p is for the activations that have a p and were not given one', () => {
    const made = variants({ activations: ['relu', 'stoch', 'stocha:p=0.1'], p: 0.3 })
    expect(made.map(({ activation }) => activation)).toEqual([
      'relu',
      expect.stringContaining('p=0.3'),
      expect.stringContaining('p=0.1'),
    ])
  })

  it('a variant changes what it names and nothing else', () => {
    const [plain, other] = variants({
      epochs: 7,
      lr: 0.5,
      variants: [
        { name: 'plain', activation: 'relu' },
        { name: 'other', label: 'Other', activation: 'silu', epochs: 3, bottleneck: 2 },
      ],
    })
    expect(plain).toMatchObject({ label: 'plain', epochs: 7, lr: 0.5 })
    expect(plain.bottleneck).toBeUndefined()
    expect(other).toMatchObject({ label: 'Other', epochs: 3, lr: 0.5, bottleneck: 2, batchSize: 128 })
  })

  it('names of activations become names of files', () => {
    expect(variants({ activations: ['stocha:p=0.3,positive=silu'] })[0].name).toBe(
      'stocha-p-0.3-positive-silu',
    )
  })

  it('the same activation twice, and a schedule of what it does not have, are refused', () => {
    expect(() => variants({ activations: ['relu', 'relu'] })).toThrow(
      expect.objectContaining({ code: 'LAB_VARIANT_TWICE' }),
    )
    expect(() =>
      variants({ variants: [{ name: 'a', activation: 'stoch', schedule: { q: { from: 0, to: 1 } } }] }),
    ).toThrow(
      expect.objectContaining({ code: 'LAB_SCHEDULE_UNKNOWN', message: expect.stringContaining('p, per') }),
    )
  })
})

describe('recipes of the lab', () => {
  it.each(packagedRecipes('recipes/lab'))('%s is valid and asks something', name => {
    const config = readLabRecipe(name)
    expect(config.name).toBe(name)
    expect(config.question?.length).toBeGreaterThan(20)
    expect(variantsOf(config).length).toBeGreaterThan(1)
  })

  it('an unknown key is named, with the nearest one', () => {
    expect(() => parseLabRecipe('epoch: 3', 'mine.yaml')).toThrow(
      expect.objectContaining({
        code: 'RECIPE_INVALID',
        message: expect.stringMatching(/mine\.yaml: epoch: unknown key.*epochs/),
      }),
    )
  })

  it('a wrong activation says what there is, and where it stands', () => {
    expect(() => parseLabRecipe('variants: [{name: a, activation: rellu}]', 'mine.yaml')).toThrow(
      /variants\[0\]\.activation.*relu/,
    )
  })

  it('broken YAML is an error of the recipe', () => {
    expect(() => parseLabRecipe('a: [1', 'mine.yaml')).toThrow(
      expect.objectContaining({ code: 'RECIPE_SYNTAX' }),
    )
    expect(() => readLabRecipe('no-such-recipe')).toThrow(
      expect.objectContaining({ code: 'RECIPE_MISSING', message: expect.stringContaining('blog') }),
    )
  })
})
