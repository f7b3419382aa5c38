// Mutation testing: changes one operator at a time in a copy of the repository and runs the tests that cover the
// file. A change that turns no test red is printed as a survivor: a test is missing, or the change has no effect.
//
//   node scripts/mutate.mjs [--count 40] [--seed 1] [--only native,src/engine] [--tests 10] [--list]
//
// --count  changes to try, spread evenly over the folders
// --seed   chooses the places; the same seed and the same sources give the same changes
// --only   folders or files to change, comma-separated (default: native, src/engine, src/train, src/lab,
//          src/activations)
// --tests  test files to run per change at most, those first that are the fewest imports away from the changed file
// --list   prints the changes without running anything
//
// Only tests of the clone count: the copy has no data beside it. A change takes between five seconds and a few minutes;
// one in native/ recompiles the files that contain it. Exits 1 when a change survives.

import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { coverage } from './test-coverage.mjs'

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: 'native,src/engine,src/train,src/lab,src/activations' },
    tests: { type: 'string', default: '10' },
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
  ['(!', '('],
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

/** Programs that check the kernels, and the header that is written from a table and compared with it. */
const notChanged = /^native\/(check\/|contract\.h)/

function chooseChanges(folders, count, random) {
  const perFolder = folders.map(folder => {
    const { stdout } = spawnSync('git', ['ls-files', folder], { cwd: root, encoding: 'utf8' })
    const files = stdout.split('\n').filter(name => /\.(ts|cc|h)$/.test(name) && !notChanged.test(name))
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
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))
const tracked = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .stdout.split('\n')
  .filter(Boolean)
for (const file of tracked) cpSync(join(root, file), join(copy, file), { recursive: true })
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
const { testsOf, needsBuild, compiledInto } = coverage(copy, tracked)

/**
 * Runs a program in the copy. Resolves to how it ended, `ok`, `failed` or `late`, and what it wrote. After ten
 * minutes it and its children are killed, since a change can make a loop endless.
 */
function run(command, args, environment = {}) {
  return new Promise(resolve => {
    const env = { ...process.env, FLICKER_SHARED: join(copy, 'nothing'), ...environment }
    const child = spawn(command, args, {
      cwd: copy,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const kill = () => {
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // No process of the group is left.
      }
    }
    let [late, output] = [false, '']
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', chunk => {
        output += chunk
      })
    }
    const timer = setTimeout(() => {
      late = true
      kill()
    }, 600_000)
    process.once('exit', kill)
    child.on('exit', code => {
      clearTimeout(timer)
      process.off('exit', kill)
      kill()
      resolve({
        outcome: late ? 'late' : code === 0 ? 'ok' : 'failed',
        output: stripVTControlCharacters(output),
      })
    })
  })
}

const native = await import(pathToFileURL(join(copy, 'scripts/native-sources.mjs')).href)
const compiler = native.findCompiler()
const objects = join(copy, 'build/objects')
mkdirSync(objects, { recursive: true })
const build = native.describeBuild({
  ...{ compiler, platform: process.platform, arch: process.arch },
  isas: [native.detectInstructionSets(compiler, process.arch, objects)[0]],
})
/** Compiles native units of the copy to objects that stay, and links all. Resolves to whether that succeeded. */
async function compileNative(units) {
  const objectOf = unit => join(objects, `${unit.file}.o`)
  for (const unit of units) {
    const args = [...build.flags, ...unit.flags, '-c', join(native.source, unit.file), '-o', objectOf(unit)]
    if ((await run(compiler, args)).outcome !== 'ok') return false
  }
  const linked = [...build.units.map(objectOf), ...build.link, '-o', join(copy, 'build/flicker.node')]
  return (await run(compiler, linked)).outcome === 'ok'
}

/** Runs test files until one is red, the nearest two alone: `` for none, which one, or `invalid` for no program. */
async function redTest(tests, file) {
  for (let first = 0, count = 2; first < tests.length; first += count, count = 4) {
    const some = tests.slice(first, first + count)
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--bail=1', ...some]
    // Chat templates run in a process of its own, from dist/.
    const builds = some.some(needsBuild) || file.startsWith('src/engine/chat/jinja/')
    const environment = builds ? {} : { FLICKER_SKIP_BUILD: '1' }
    const { outcome, output } = await run(process.execPath, args, environment)
    if (outcome === 'late') return 'no end'
    if (/compiling \S+ failed/.test(output)) return 'invalid'
    if (outcome === 'failed') return /FAIL +(\S+)/.exec(output)?.[1] ?? 'vitest failed'
  }
  return ''
}

/** Test files that are green without a change. */
const green = new Set()

if (chosen.some(change => change.file.startsWith('native/'))) {
  if (!(await compileNative(build.units))) throw new Error('the native kernels do not compile as they are')
} else cpSync(join(root, 'build'), join(copy, 'build'), { recursive: true })

await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'])

const compileUsers = file => {
  const users = compiledInto(file)
  return compileNative(build.units.filter(unit => users.has(`native/${unit.file}`)))
}

const counts = { killed: 0, SURVIVED: 0, invalid: 0 }
for (const [index, change] of chosen.entries()) {
  const isNative = change.file.startsWith('native/')
  const path = join(copy, change.file)
  const original = readFileSync(path, 'utf8')
  const lines = original.split('\n')
  const line = lines[change.line - 1]
  lines[change.line - 1] =
    line.slice(0, change.column) + change.to + line.slice(change.column + change.from.length)
  writeFileSync(path, lines.join('\n'))
  const isProgram = !isNative || (await compileUsers(change.file))
  const tests = testsOf(change.file).slice(0, Number(options.tests))
  const killer = isProgram ? await redTest(tests, change.file) : 'invalid'
  writeFileSync(path, original)
  if (isNative) await compileUsers(change.file)
  if (killer.startsWith('test/') && !green.has(killer)) {
    const red = await redTest([killer], change.file)
    if (red !== '') throw new Error(`${red} is red without a change, too`)
    green.add(killer)
  }

  const verdict = killer === 'invalid' ? killer : killer === '' ? 'SURVIVED' : 'killed'
  counts[verdict]++
  const by = verdict === 'killed' ? `  (${killer})` : ''
  console.log(
    `${String(index + 1).padStart(3)}/${chosen.length} ${verdict.padEnd(8)} ${describeChange(change)}${by}`,
  )
}
console.log(`${counts.killed} killed, ${counts.SURVIVED} survived, ${counts.invalid} did not compile`)
process.exitCode = counts.SURVIVED === 0 ? 0 : 1
