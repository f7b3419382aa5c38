// Runs the tests that reach native code (kernels, engine, readers, tensors) against native kernels built with
// AddressSanitizer and UndefinedBehaviorSanitizer: a read or write outside a buffer, a use after free or undefined
// behavior ends the run with exit code 1. Then a small C++ program that starts and stops the thread pool and its working
// memory, under LeakSanitizer.
//
//   node scripts/test-native-asan.mjs [vitest arguments, default test/kernels test/engine test/formats test/tensor]
//
// Needs Linux and GCC or Clang with their sanitizer runtimes.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findCompiler, root } from './native-sources.mjs'

const addon = join(root, 'build', 'flicker-asan.node')
const tests =
  process.argv.length > 2
    ? process.argv.slice(2)
    : ['test/kernels', 'test/engine', 'test/formats', 'test/tensor']

function fail(reason) {
  console.error(`asan: ${reason}`)
  process.exit(1)
}

/** Runs a program with its output on ours; ends the script when it fails. */
function run(what, command, args, env = {}) {
  const { status, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  if (status !== 0) fail(`${what} failed (${signal ?? `exit code ${status}`})`)
}

const compiler = findCompiler()
if (compiler === undefined) fail('no C++ compiler found')

/** The sanitizer's runtime: it must be in the process before node's first allocation. */
function runtimeLibrary() {
  const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
  for (const name of ['libasan.so', `libclang_rt.asan-${arch}.so`, 'libclang_rt.asan.so']) {
    const file = spawnSync(compiler, [`-print-file-name=${name}`])
      .stdout.toString()
      .trim()
    if (file !== name && existsSync(file)) return file
  }
  return fail(
    `${compiler} has no AddressSanitizer runtime; install it (Debian: libasan or clang's compiler-rt)`,
  )
}

run('the build', process.execPath, [join(root, 'scripts', 'build-native.mjs'), '--sanitize'])

const reports = mkdtempSync(join(tmpdir(), 'flicker-asan-'))
const options = ['halt_on_error=1', 'exitcode=99', `log_path=${join(reports, 'report')}`]
const env = {
  LD_PRELOAD: runtimeLibrary(),
  FLICKER_NATIVE: addon,
  // Node itself leaves memory behind when it ends; the program below looks for our own leaks.
  ASAN_OPTIONS: ['detect_leaks=0', 'detect_stack_use_after_return=1', ...options].join(':'),
  UBSAN_OPTIONS: ['print_stacktrace=1', ...options].join(':'),
}

/** Prints what the sanitizers wrote. A test runner can lose the exit code of a worker, but not these files. */
function printReports() {
  const files = readdirSync(reports)
  for (const file of files) console.error(readFileSync(join(reports, file), 'utf8'))
  rmSync(reports, { recursive: true })
  return files.length
}

// Without this the tests would pass on the portable kernels alone.
const loads = [
  '-e',
  `console.log('asan: kernels', require(process.env.FLICKER_NATIVE).instructionSets().join(', '))`,
]
run('loading the addon', process.execPath, loads, env)

const { status } = spawnSync(
  process.execPath,
  [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...tests],
  { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } },
)
if (printReports() > 0) fail('the sanitizers found errors, see above')
if (status !== 0) fail(`the tests failed (exit code ${status})`)

const program = join(root, 'build', `pool-leaks.${process.pid}`)
const sources = ['parallel.cc', 'check/pool.cc'].map(name => join(root, 'native', name))
const flags = [
  '-std=c++20',
  '-O1',
  '-g',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=undefined',
  '-pthread',
]
run('building the pool test', compiler, [...flags, ...sources, '-o', program])
const pool = spawnSync(program, {
  stdio: 'inherit',
  env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=1' },
})
rmSync(program)
if (pool.status !== 0) fail('the thread pool leaks or is wrong, see above')
console.log('asan: no errors, no leaks.')
