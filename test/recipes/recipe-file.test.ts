// Recipes as files: what YAML can do to a reader, and files that never end.

import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { readLabRecipe } from '../../src/lab/recipe.js'
import { packagedRecipes, parseRecipeYaml, readRecipeText } from '../../src/recipes/recipe-file.js'
import { readRecipe } from '../../src/study/recipe.js'
import { temporaryDirectories } from '../data/temporary.js'

const directory = temporaryDirectories()

describe('YAML of a recipe', () => {
  const bomb = [
    'a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]',
    ...['b', 'c', 'd'].map(
      (name, i) => `${name}: &${name} [${new Array(9).fill(`*${'abc'[i]}`).join(', ')}]`,
    ),
  ].join('\n')
  const wrong: [what: string, yaml: string, message: string][] = [
    [
      'an alias without an anchor',
      'name: *missing',
      'x.yaml: the alias *missing has no anchor &missing before it',
    ],
    [
      'an alias inside its own anchor',
      'a: &a {b: {c: *a}}',
      'x.yaml: an alias (*name) stands inside its own anchor',
    ],
    ['a list that holds itself', '&a [1, *a]', 'x.yaml: an alias (*name) stands inside its own anchor'],
    ['aliases that explode', bomb, 'x.yaml: its aliases expand to more than 100 nodes'],
    ['brackets without end', '['.repeat(50_000), 'x.yaml: it is nested more than 100 levels deep'],
    [
      'lists in lists without end',
      `${'- '.repeat(50_000)}x`,
      'x.yaml: it is nested more than 100 levels deep',
    ],
    [
      'maps in maps',
      Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
      'x.yaml: it is nested more than 100 levels deep',
    ],
    ['two documents', 'a: 1\n---\nb: 2', 'x.yaml: Source contains multiple documents'],
  ]
  for (const [what, yaml, message] of wrong) {
    it(`with ${what} is refused in one line`, () => {
      const parse = () => parseRecipeYaml(yaml, 'x.yaml')
      expect(parse).toThrow(expect.objectContaining({ code: 'RECIPE_SYNTAX' }))
      expect(parse).toThrow(message)
      expect(parse).not.toThrow('\n')
    })
  }

  it('resolves aliases that are in order', () => {
    expect(parseRecipeYaml('a: &x {p: 1}\nb: *x\nc: [*x, *x]', 'x.yaml')).toEqual({
      a: { p: 1 },
      b: { p: 1 },
      c: [{ p: 1 }, { p: 1 }],
    })
  })
})

describe('the file of a recipe', () => {
  const refused = { code: 'RECIPE_MISSING' }

  it('that is a directory, a device or a pipe is refused at once', () => {
    const root = directory({})
    const pipe = path.join(root, 'pipe.yaml')
    execFileSync('mkfifo', [pipe])
    for (const file of [root, '/dev/zero', pipe]) {
      expect(() => readRecipe(file)).toThrow(expect.objectContaining(refused))
      expect(() => readRecipe(file)).toThrow('not a regular file')
      expect(() => readLabRecipe(file)).toThrow(expect.objectContaining(refused))
    }
  })

  it('that is larger than any recipe is refused before it is read', () => {
    const root = directory({ 'large.yaml': new Uint8Array(1024 * 1024 + 1).fill(35) })
    expect(() => readRecipe(path.join(root, 'large.yaml'))).toThrow('more than the limit of 1048576')
  })

  it('is found among those of the package, whose names a wrong one is answered with', () => {
    expect(packagedRecipes('recipes')).toContain('quick')
    expect(readRecipeText('blog', 'recipes/lab').name).toBe('blog.yaml')
    expect(() => readRecipeText('no-such', 'recipes/lab')).toThrow('blog')
  })
})
