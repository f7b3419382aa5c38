// Compiles the native kernels into build/flicker.node, once per instruction set, with whatever C++ compiler is
// there. Needs nothing from the network: Node-API's headers come from the package node-api-headers.
// Without a compiler it says so in one line and exits 0: the portable backend takes over.
//
//   node scripts/build-native.mjs [--force] [--sanitize] [--verbose]

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, availableParallelism, platform } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = join(root, 'native')
const force = process.argv.includes('--force')
const sanitize = process.argv.includes('--sanitize')
const verbose = process.argv.includes('--verbose')
const build = join(root, 'build')
const output = join(build, sanitize ? 'flicker-asan.node' : 'flicker.node')

// Files compiled once; every other .cc is a kernel file, compiled once per instruction set.
const shared = ['binding.cc', 'cpu.cc', 'parallel.cc']
const instructionSets =
  arch() === 'x64'
    ? [
        ['avx512', ['-march=skylake-avx512', '-mprefer-vector-width=512']],
        ['avx2', ['-mavx2', '-mfma', '-mf16c']],
        ['x86_64', []],
      ]
    : arch() === 'arm64'
      ? [['neon', []]]
      : []

// Undefined behavior is reported and ends the process, like an address error.
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined']

function skip(reason) {
  console.log(
    `flicker: native kernels not built (${reason}); the portable backend is used: everything works, slower.`,
  )
  process.exit(0)
}

if (process.env.FLICKER_BACKEND === 'portable') skip('FLICKER_BACKEND=portable')
if (instructionSets.length === 0) skip(`no kernels for ${arch()}`)
if (platform() === 'win32') skip('Windows is not supported yet')

const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
  name => name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
)
if (compiler === undefined) skip('no C++ compiler found; install g++ or clang and run npm run build:native')

const compilerVersion = spawnSync(compiler, ['--version']).stdout.toString()
// Multiply-adds are fused where the source writes them as one expression. Clang's "fast" would also fuse across
// statements, differently from one copy of an inlined function to the next; GCC knows "on" only since version 14.
const contract = compilerVersion.includes('clang') ? 'on' : 'fast'

const { include_dir: nodeApi } = createRequire(import.meta.url)('node-api-headers')
const flags = [
  '-std=c++20',
  sanitize ? '-O1' : '-O3',
  '-fPIC',
  '-fvisibility=hidden',
  '-fno-math-errno',
  '-fno-trapping-math',
  `-ffp-contract=${contract}`,
  '-DNAPI_VERSION=8',
  `-I${nodeApi}`,
  ...(sanitize ? ['-g1', ...sanitizers, '-fno-omit-frame-pointer'] : []),
]

const files = readdirSync(source).filter(name => name.endsWith('.cc'))
const kernels = files.filter(name => !shared.includes(name))
const units = [
  ...shared.map(file => ({ file, isa: '', extra: [] })),
  ...instructionSets.flatMap(([isa, extra]) =>
    kernels.map(file => ({ file, isa, extra: [`-DFLICKER_ISA=${isa}`, ...extra] })),
  ),
]

// A stamp of everything that decides the result: unchanged sources are not compiled again.
const hash = createHash('sha256')
for (const name of readdirSync(source).sort()) {
  if (/\.(cc|h)$/.test(name)) hash.update(name).update(readFileSync(join(source, name)))
}
hash.update(JSON.stringify([flags, units, process.version, compilerVersion]))
const stamp = hash.digest('hex')
const stampFile = `${output}.stamp`
if (!force && existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
  console.log('flicker: native kernels are up to date.')
  process.exit(0)
}

// A folder of its own, so that two builds at once do not take each other's objects away.
const objects = join(build, `obj.${process.pid}`)
mkdirSync(objects, { recursive: true })

function run(args) {
  if (verbose) console.log(compiler, args.join(' '))
  return new Promise(resolve => {
    const child = spawn(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'] })
    let errors = ''
    child.stderr.on('data', chunk => {
      errors += chunk
    })
    child.on('close', code => resolve({ ok: code === 0, errors }))
  })
}

const started = Date.now()
const queue = units.map(({ file, isa, extra }) => {
  const object = join(objects, `${isa}-${file}.o`)
  return { object, args: [...flags, ...extra, '-c', join(source, file), '-o', object] }
})
const linked = queue.map(unit => unit.object)
let failure = ''
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let unit = queue.shift(); unit !== undefined && failure === ''; unit = queue.shift()) {
      const { ok, errors } = await run(unit.args)
      if (!ok) failure = errors
      else if (verbose && errors) console.error(errors)
    }
  }),
)
if (failure === '') {
  const link = platform() === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-pthread']
  const temporary = `${output}.${process.pid}.tmp`
  const { ok, errors } = await run([...link, ...(sanitize ? sanitizers : []), ...linked, '-o', temporary])
  if (ok) renameSync(temporary, output)
  else failure = errors
}
rmSync(objects, { recursive: true, force: true })
if (failure !== '') {
  console.error(failure.split('\n').slice(0, 40).join('\n'))
  if (sanitize || force) process.exit(1)
  skip(`${compiler} failed, see above`)
}
writeFileSync(stampFile, stamp)
const names = instructionSets.map(([isa]) => isa.replace('_', '-')).join(', ')
console.log(`flicker: native kernels built (${names}) in ${((Date.now() - started) / 1000).toFixed(1)} s.`)
