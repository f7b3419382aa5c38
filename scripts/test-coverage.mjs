// Which tests run a source file, by what the files name: imports, includes, and the built command line. Used by
// mutate.mjs to begin with the tests that are the most likely to notice a change.

import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** Tests of native code: it is loaded at run time, so that no import tells. */
const nativeTests = /^test\/(kernels|tensor|engine|lab|train)\//

/** Stands for the built program among the files that a test names. */
const BUILT = 'dist'

/** The words of a file's name. */
const wordsOf = name => basename(name).replace(/\..*/, '').split(/[-_]/)

/** How many words the names of two files share. */
const sharedWords = (a, b) => wordsOf(a).filter(word => wordsOf(b).includes(word)).length

/** Folders below `src`, `test` or `native` that two paths share. */
function sharedFolders(a, b) {
  const [one, other] = [a, b].map(name => dirname(name).split('/').slice(1))
  const differs = one.findIndex((folder, i) => folder !== other[i])
  return differs < 0 ? one.length : differs
}

/**
 * Reads the files of a clone, given as paths relative to `root`.
 *
 *   testsOf(file)        test files that run the code of a source file, the nearest first, but those that run the built
 *                        command line after all others, since they need a build
 *   needsBuild(test)     whether a test file runs what is in dist/
 *   compiledInto(file)   the files of native/ that contain a file of native/: itself and what includes it
 */
export function coverage(root, files) {
  const sources = files.filter(name => /^(src|test|native)\/.*\.(ts|cc|h)$/.test(name))
  const names = new Map()
  for (const file of sources) {
    const text = readFileSync(join(root, file), 'utf8')
    const found = [...text.matchAll(/(?:from|import\(|URL\() ?'(\.[^']+)'|#include "([^"]+)"/g)]
    const targets = found.map(match => join(dirname(file), match[1] ?? match[2]).replace(/\.js$/, '.ts'))
    if (file.startsWith('test/') && /\bdist\//.test(text)) targets.push('src/cli/main.ts', BUILT)
    names.set(file, targets)
  }

  /** Files that reach `file`, each with the number of imports or includes between them. */
  function reaching(file) {
    const steps = new Map([[file, 0]])
    for (const [reached, step] of steps) {
      for (const [user, targets] of names) {
        if (targets.includes(reached) && !steps.has(user)) steps.set(user, step + 1)
      }
    }
    return steps
  }

  const built = reaching(BUILT)
  const needsBuild = name => built.has(name)

  function testsOf(file) {
    const tests = sources.filter(name => name.endsWith('.test.ts'))
    const isNative = file.startsWith('native/')
    const nearest = /mlp|sample_products/.test(file) ? 'test/lab/network.test.ts' : 'test/kernels/'
    const steps = isNative ? new Map() : reaching(file)
    const distance = name =>
      isNative
        ? (name.startsWith(nearest) ? 0 : 5) - (name.endsWith('/twins.test.ts') ? 1 : 0)
        : steps.get(name) - 2 * sharedFolders(name, file)
    const near = tests.map(name => ({
      name,
      distance: distance(name) - 2 * sharedWords(name, file) + (needsBuild(name) ? 100 : 0),
    }))
    return near
      .filter(({ name }) => (isNative ? nativeTests.test(name) : steps.has(name)))
      .sort((a, b) => a.distance - b.distance)
      .map(({ name }) => name)
  }

  return { testsOf, needsBuild, compiledInto: file => new Set(reaching(file).keys()) }
}
