// Mutation testing: changes one operator at a time in a copy of the repository and runs the tests that cover the
// file. A change that turns no test red is printed as a survivor: a test is missing, or the change has no effect.
//
//   node scripts/mutate.mjs [--count 40] [--seed 1] [--only native,src/engine] [--list]
//
// --count  changes to try, spread evenly over the folders
// --seed   chooses the places; the same seed and the same sources give the same changes
// --only   folders to change, comma-separated (default: native, src/engine, src/train, src/lab, src/activations)
// --list   prints the changes without running anything
//
// A change takes between ten seconds and a few minutes; one in native/ recompiles the kernels. Exits 1 when a change survives.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: 'native,src/engine,src/train,src/lab,src/activations' },
    list: { type: 'boolean', default: false },
  },
})
const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** What is replaced by what. Operators need spaces around them, so that generics and pointers are left alone. */
const replacements = new Map([
  [' + ', ' - '],
  [' - ', ' + '],
  [' * ', ' / '],
  [' / ', ' * '],
  [' += ', ' -= '],
  [' < ', ' <= '],
  [' <= ', ' < '],
  [' > ', ' >= '],
  [' >= ', ' > '],
  [' === ', ' !== '],
  [' !== ', ' === '],
  [' == ', ' != '],
  [' != ', ' == '],
  [' && ', ' || '],
  [' || ', ' && '],
  ['Math.max(', 'Math.min('],
  ['Math.min(', 'Math.max('],
])

/** Numbers from 0 to 1 that depend on the seed alone (mulberry32). */
function randomNumbers(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

/** All changes that can be made in a file: { file, line, column, from, to, text }. */
function changesIn(file) {
  const changes = []
  const lines = readFileSync(join(root, file), 'utf8').split('\n')
  let inComment = false
  for (const [index, line] of lines.entries()) {
    if (inComment || /^\s*\/\*/.test(line)) {
      inComment = !line.includes('*/')
      continue
    }
    if (/^\s*(\/\/|import |export .* from |#|template <)/.test(line)) continue
    const code = line.replace(/\/\/.*$/, '')
    for (const [from, to] of replacements) {
      for (let column = code.indexOf(from); column >= 0; column = code.indexOf(from, column + 1)) {
        const before = code.slice(0, column)
        const insideString =
          (before.split("'").length + before.split('`').length + before.split('"').length) % 2 === 0
        if (!insideString) changes.push({ file, line: index + 1, column, from, to, text: line.trim() })
      }
    }
  }
  return changes
}

function chooseChanges(folders, count, random) {
  const perFolder = folders.map(folder => {
    const { stdout } = spawnSync('git', ['ls-files', folder], { cwd: root, encoding: 'utf8' })
    const files = stdout
      .split('\n')
      .filter(name => /\.(ts|cc|h)$/.test(name) && !name.startsWith('native/check/'))
    return files.flatMap(changesIn)
  })
  const chosen = []
  for (let i = 0; chosen.length < count && perFolder.some(changes => changes.length > 0); i++) {
    const changes = perFolder[i % perFolder.length]
    if (changes.length > 0) chosen.push(...changes.splice(Math.floor(random() * changes.length), 1))
  }
  return chosen
}

const chosen = chooseChanges(
  options.only.split(','),
  Number(options.count),
  randomNumbers(Number(options.seed)),
)
const describeChange = ({ file, line, from, to, text }) =>
  `${file}:${line} "${from.trim()}" → "${to.trim()}"  ${text}`
if (options.list) {
  for (const change of chosen) console.log(describeChange(change))
  process.exit(0)
}

const copy = mkdtempSync(join(tmpdir(), 'flicker-mutate-'))
process.on('exit', () => rmSync(copy, { recursive: true, force: true }))
process.on('SIGINT', () => process.exit(130))
const tracked = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .stdout.split('\n')
  .filter(Boolean)
for (const file of [...tracked, 'build']) cpSync(join(root, file), join(copy, file), { recursive: true })
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))

const run = (command, args) =>
  spawnSync(command, args, {
    cwd: copy,
    encoding: 'utf8',
    timeout: 900_000,
    env: { FLICKER_SHARED: join(root, '..', 'shared'), ...process.env },
  })
const vitest = (...args) => run('npx', ['vitest', ...args, '--bail=1']).status === 0

/** Whether the changed copy is a program at all. */
function compiles(file) {
  if (file.startsWith('native/'))
    return run(process.execPath, ['scripts/build-native.mjs', '--force']).status === 0
  return run('npx', ['tsc', '--noEmit']).status === 0
}

function testsPass(file) {
  if (!file.startsWith('native/')) return vitest('related', '--run', file)
  return (
    vitest('run', 'test/kernels') && vitest('run', 'test/engine', 'test/train', 'test/tensor', 'test/lab')
  )
}

const survivors = []
let killed = 0
let invalid = 0
for (const [index, change] of chosen.entries()) {
  const path = join(copy, change.file)
  const original = readFileSync(path, 'utf8')
  const lines = original.split('\n')
  const line = lines[change.line - 1]
  lines[change.line - 1] =
    line.slice(0, change.column) + change.to + line.slice(change.column + change.from.length)
  writeFileSync(path, lines.join('\n'))
  let verdict = 'invalid '
  if (!compiles(change.file)) invalid++
  else if (testsPass(change.file)) {
    survivors.push(change)
    verdict = 'SURVIVED'
  } else {
    killed++
    verdict = 'killed  '
  }
  writeFileSync(path, original)
  console.log(`${String(index + 1).padStart(3)}/${chosen.length} ${verdict} ${describeChange(change)}`)
}
console.log(`${killed} killed, ${survivors.length} survived, ${invalid} did not compile`)
process.exitCode = survivors.length === 0 ? 0 : 1
