// Recipes: what is wrong is named, with its place and the nearest right name.

import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { listActivations } from '../../src/activations/index.js'
import { RecipeError } from '../../src/errors.js'
import { packagedRecipes } from '../../src/recipes/recipe-file.js'
import { parseRecipe, readRecipe } from '../../src/study/recipe.js'

const good = `
name: tiny
title: A tiny study
training: {steps: 10}
runs:
  - {name: a, strategy: scratch, activation: silu}
  - {name: b, strategy: swift, alpha: 0.1}
portable: {training: {steps: 3}, model: {hiddenSize: 32}}
`

describe('a recipe', () => {
  it('gets every default that it does not set', () => {
    const recipe = parseRecipe(good, 'tiny.yaml')
    expect(recipe.training.steps).toBe(10)
    expect(recipe.corpus).toBe('default')
    expect(recipe.runs[1]).toMatchObject({ strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.1 })
  })

  it('has a smaller variant for the portable backend', () => {
    const recipe = parseRecipe(good, 'tiny.yaml', { portable: true })
    expect(recipe.training.steps).toBe(3)
    expect(recipe.model.hiddenSize).toBe(32)
    expect(recipe.model.intermediateSize).toBe(parseRecipe(good, 'tiny.yaml').model.intermediateSize)
  })

  it('of the package is always right, the portable variant too', () => {
    for (const file of packagedRecipes('recipes').map(name => `${name}.yaml`)) {
      for (const portable of [false, true]) {
        expect(readRecipe(path.join('recipes', file), { portable }).runs.length).toBeGreaterThan(0)
      }
    }
  })

  it('makes a run from scratch of every activation named', () => {
    const listed = parseRecipe(`${good}activations: [relu, "stocha:p=0.3"]\n`, 'tiny.yaml')
    expect(listed.runs.slice(2).map(run => [run.name, run.label, run.strategy])).toEqual([
      ['relu', 'relu', 'scratch'],
      ['stocha-p-0.3', 'stocha:p=0.3', 'scratch'],
    ])
    const all = parseRecipe(`${good}activations: all\n`, 'tiny.yaml')
    expect(all.runs.slice(2).map(run => run.label)).toEqual(listActivations().map(({ name }) => name))
  })

  it('needs something to train, and one place for seeds', () => {
    expect(() => parseRecipe('name: a\ntitle: b\n', 'tiny.yaml')).toThrow('nothing to train')
    const seeded = good.replace('name: a,', 'name: a, seed: 3,')
    expect(() => parseRecipe(`${seeded}seeds: [1, 2]\n`, 'tiny.yaml')).toThrow(
      'runs[0].seed contradicts seeds',
    )
  })

  const wrong: [what: string, from: string, to: string, message: string][] = [
    ['an unknown key', 'title:', 'titel: x\ntitle:', 'titel: unknown key. Did you mean "title"?'],
    [
      'an unknown key inside',
      '{steps: 10}',
      '{step: 10}',
      'training.step: unknown key. Did you mean "steps"?',
    ],
    [
      'an unknown key of a run',
      'alpha: 0.1',
      'alfa: 0.1',
      'runs[1].alfa: unknown key. Did you mean "alpha"?',
    ],
    ['a wrong type', '{steps: 10}', '{steps: many}', 'training.steps: must be a number, not "many"'],
    ['a fraction of a step', '{steps: 10}', '{steps: 1.5}', 'training.steps'],
    ['α above 1', 'alpha: 0.1', 'alpha: 1.5', 'runs[1].alpha: must lie in (0, 1]'],
    ['α = 0', 'alpha: 0.1', 'alpha: 0', 'runs[1].alpha: must lie in (0, 1]'],
    [
      'an unknown activation',
      'activation: silu',
      'activation: sliu',
      'runs[0].activation: there is no activation "sliu". Did you mean "silu"? Activations: relu, silu',
    ],
    [
      'an unknown strategy',
      'strategy: swift',
      'strategy: swfit',
      'must be one of scratch, swift, stocha, anneal, relufy, not "swfit". Did you mean "swift"?',
    ],
    ['a missing title', 'title: A tiny study', '', 'title: is missing'],
    ['two runs of one name', 'name: b', 'name: a', 'two runs are called "a"'],
    ['a name that is a path', 'name: b', 'name: ../b', 'runs[1].name: must be letters'],
    [
      'heads that do not fit',
      'training:',
      'model: {hiddenSize: 33}\ntraining:',
      'model.hiddenSize: must be an even multiple',
    ],
    [
      'a predictor as wide as the model',
      'training:',
      'model: {ffn: spark, hiddenSize: 32, sparkPredictorWidth: 32}\ntraining:',
      'model.sparkPredictorWidth: must be an integer from 1 to 31',
    ],
    [
      'a predictor for a gated FFN',
      'training:',
      'model: {sparkPredictorWidth: 32}\ntraining:',
      'model.sparkPredictorWidth: is for ffn spark alone, and ffn is gated',
    ],
    ['broken YAML', 'runs:', 'runs: [', 'tiny.yaml: '],
  ]
  for (const [what, from, to, message] of wrong) {
    it(`with ${what} is refused by name`, () => {
      const parse = () => parseRecipe(good.replace(from, to), 'tiny.yaml')
      expect(parse).toThrow(RecipeError)
      expect(parse).toThrow(message)
    })
  }

  it('of the package is found by its name from anywhere', () => {
    expect(readRecipe('quick')).toEqual(readRecipe(path.join('recipes', 'quick.yaml')))
  })

  it('that does not exist, is empty or a list is refused', () => {
    expect(() => readRecipe('no/such.yaml')).toThrow(expect.objectContaining({ code: 'RECIPE_MISSING' }))
    for (const text of ['', '[1, 2]', 'just words', '42']) {
      expect(() => parseRecipe(text, 'x.yaml')).toThrow(expect.objectContaining({ code: 'RECIPE_INVALID' }))
    }
  })
})
