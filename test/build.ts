// Compiles the package once before the tests, so that tests of the command line run what users run.

import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

export default function setup(): void {
  const tsc = createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace('package.json', 'bin/tsc')
  // Its verdict on types belongs to the type check; here only the JavaScript counts.
  spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'])
}
