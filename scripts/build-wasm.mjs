// Compiles the native kernels to WebAssembly with SIMD: dist/flicker.wasm, which browsers run, and Node with
// FLICKER_BACKEND=wasm. Needs clang, wasm-ld, and the C and C++ libraries of WASI; on Debian:
//
//   apt-get install clang lld wasi-libc libclang-rt-dev-wasm32 libc++-dev-wasm32
//
//   node scripts/build-wasm.mjs [--optional] [--verbose]
//
//   --optional   says in one line what is missing and succeeds; else that is an error

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { compile, kernelFiles, root, source, versionOf } from './native-sources.mjs'

const output = join(root, 'dist', 'flicker.wasm')
const stampFile = join(root, 'build', 'flicker.wasm.stamp')
const optional = process.argv.includes('--optional')

/** Ends without the module. */
function fail(reason) {
  const install = 'on Debian: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32 libc++-dev-wasm32'
  console.error(`flicker: WebAssembly kernels not built: ${reason}; ${install}`)
  process.exit(optional ? 0 : 1)
}

const compiler = process.env.FLICKER_WASM_CXX ?? 'clang++'
if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status !== 0) fail(`there is no ${compiler}`)

const flags = [
  '--target=wasm32-wasi',
  '-std=c++20',
  '-msimd128',
  '-mbulk-memory',
  '-mnontrapping-fptoint',
  '-msign-ext',
  // Threads share the memory; and shared memory keeps its views valid when it grows.
  '-matomics',
  '-ftls-model=local-exec',
  '-fno-exceptions',
  '-fno-rtti',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fvisibility=hidden',
  '-fno-threadsafe-statics',
  `-I${join(source, 'wasm')}`,
  `-I${source}`,
]
/** What the processor has no instruction for, such as products of 128 bits. */
const builtins = spawnSync(compiler, ['--target=wasm32-wasi', '-print-libgcc-file-name'])
  .stdout.toString()
  .trim()
if (!existsSync(builtins)) fail(`there is no ${builtins}`)
const unit = (file, level) => ({ file, isa: '', flags: [level] })
const build = {
  compiler,
  isas: ['wasm'],
  flags,
  units: [
    ...kernelFiles().map(file => ({ file, isa: 'wasm', flags: ['-O3', '-DFLICKER_ISA=wasm'] })),
    ...['activation_entries.cc', 'decoding_entries.cc', 'mlp_entries.cc', 'training_entries.cc'].map(file =>
      unit(file, '-Os'),
    ),
    ...['wasm/binding.cc', 'wasm/parallel.cc', 'wasm/messages.cc', 'read_file.cc'].map(file =>
      unit(file, '-Os'),
    ),
  ],
  link: [
    '--target=wasm32-wasi',
    // Of the C++ library the headers alone: what it would do for an error needs files and a console.
    '-nostdlib',
    '-lc',
    builtins,
    '-Wl,--no-entry,--import-memory,--shared-memory,--strip-all,--gc-sections',
    // Each thread has a stack and thread-local variables of its own: src/kernels/wasm/threads.ts.
    '-Wl,--export=__stack_pointer,--export=__wasm_init_tls,--export=__tls_size',
    // The C library was compiled without atomics: one thread at a time calls it (wasm/parallel.cc).
    '-Wl,--no-check-features',
    '-Wl,--initial-memory=4194304,--max-memory=4294967296,-z,stack-size=1048576',
  ],
}

const digest = createHash('sha256')
for (const name of readdirSync(source, { recursive: true }).sort()) {
  if (/\.(cc|h)$/.test(name)) digest.update(name).update(readFileSync(join(source, name)))
}
digest.update(JSON.stringify(build)).update(versionOf(compiler))
const stamp = digest.digest('hex')
if (existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
  console.log('flicker: WebAssembly kernels are up to date.')
  process.exit(0)
}

const started = performance.now()
mkdirSync(dirname(output), { recursive: true })
mkdirSync(dirname(stampFile), { recursive: true })
const linked = join(root, 'build', `flicker.${process.pid}.wasm`)
const failure = await compile(build, linked, { verbose: process.argv.includes('--verbose') })
if (failure !== '') fail(failure.split('\n').slice(0, 8).join('\n'))
renameSync(linked, output)
writeFileSync(stampFile, stamp)
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`flicker: WebAssembly kernels built in ${seconds} s.`)
