// Compiles every C++ file with -Wall -Wextra -Werror, by each of GCC and Clang that is here, for every instruction set. No code
// is made: what is looked for are the warnings of the front end.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compile, describeBuild, instructionSetsOf } from './native-sources.mjs'

const folder = mkdtempSync(join(tmpdir(), 'flicker-warnings-'))
let failed = false
/** The baseline of GCC is compiled with these warnings by check-neon.sh. */
const left = { 'g++': ['x86-64'], 'clang++': [] }
for (const compiler of ['g++', 'clang++']) {
  if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status !== 0) {
    console.log(`warnings: ${compiler} is not installed, skipped`)
    continue
  }
  const { arch, platform } = process
  const described = describeBuild({
    ...{
      compiler,
      platform,
      arch,
      isas: instructionSetsOf(arch).filter(isa => !left[compiler].includes(isa)),
      kind: 'debug',
    },
    extra: ['-Wall', '-Wextra', '-Werror', '-fsyntax-only'],
  })
  const failure = await compile(described, join(folder, 'unused.node'), { check: true })
  console.log(`warnings: ${compiler}: ${failure === '' ? 'none' : `\n${failure}`}`)
  failed ||= failure !== ''
}
rmSync(folder, { recursive: true, force: true })
process.exit(failed ? 1 : 0)
