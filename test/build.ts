// Compiles the package once before the tests, so that tests of the command line run what users run.

import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'

/** Throws with the compiler's messages when it fails: what dist/ holds then is of an earlier state. */
export default function setup(): void {
  // `npm run headers` writes source files that compiling may wait for; scripts/mutate.mjs compiles where tests need it.
  if (process.env.FLICKER_WRITE_HEADERS === '1' || process.env.FLICKER_SKIP_BUILD === '1') return
  run(['scripts/build.mjs'], 'the build')
}

/** Compiles a TypeScript project into its output directory. */
export function compile(project: string): void {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  run([path.join(path.dirname(manifest), 'bin/tsc'), '-p', project], `compiling ${project}`)
}

function run(args: string[], what: string): void {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${what} failed:\n${stdout}${stderr}`)
}
