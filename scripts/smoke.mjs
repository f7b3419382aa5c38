// Trains, generates and evaluates with the built command line by the Node that runs this script: a quick look at a
// version of Node for which the whole suite is not run. Exits 1 when a command fails.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './native-sources.mjs'

const cwd = mkdtempSync(join(tmpdir(), 'flicker-smoke-'))
writeFileSync(
  join(cwd, 'corpus.txt'),
  Array.from({ length: 300 }, (_, i) => `line ${i}: ${i * i}`).join('\n'),
)
const size = '--hidden-size 16 --intermediate-size 32 --num-hidden-layers 1 --num-attention-heads 2'
const budget = '--steps 10 --batch-size 2 --context 16 --eval-every 5 --eval-tokens 64 --warmup-steps 1'
const commands = [
  'info --json',
  `train --out run --corpus corpus.txt --tokenizer bytes ${size} ${budget} --json`,
  'generate --model run --prompt line --max-tokens 8 --json',
  'eval --model run --corpus corpus.txt --json',
]
let failed = ''
for (const command of commands) {
  const args = [join(root, 'dist/cli/main.js'), ...command.split(' ')]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' })
  let parsed = false
  try {
    parsed = typeof JSON.parse(stdout) === 'object'
  } catch {
    // Told below.
  }
  if (status !== 0 || !parsed) failed ||= `${command}: exit code ${status}\n${stdout}${stderr}`
}
rmSync(cwd, { recursive: true, force: true })
if (failed !== '') {
  console.error(failed)
  process.exit(1)
}
console.log(`smoke: Node ${process.version}: ${commands.length} commands work`)
