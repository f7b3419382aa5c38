// Compiles the native kernels into build/flicker.node with whatever C++ compiler is there, for the instruction set
// that this machine runs. Needs nothing from the network: Node-API's headers come from the package node-api-headers.
// Without a compiler it says so in one line and exits 0: the portable backend takes over.
//
//   node scripts/build-native.mjs [--all] [--force] [--install] [--debug | --sanitize] [--verbose]
//
//   --all, FLICKER_ISA=all   every instruction set of the architecture; the best one is chosen when the program runs
//   FLICKER_ISA=runnable     every one that this machine runs
//   FLICKER_ISA=<name>       this one: avx512, avx2, x86-64, neon
//   --force                  also when nothing has changed; a failure is then an error
//   --debug                  build/flicker-debug.node for a debugger; FLICKER_NATIVE names it to the library
//   --install                as npm's install script: nothing in a clone, where the script prepare builds everything at once
//   --sanitize               build/flicker-asan.node with AddressSanitizer and UndefinedBehaviorSanitizer

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  compile,
  describeBuild,
  detectInstructionSets,
  digestOf,
  findCompiler,
  instructionSetsOf,
  root,
  windowsBuild,
} from './native-sources.mjs'

const option = name => process.argv.includes(`--${name}`)
const [force, verbose] = [option('force'), option('verbose')]
const kind = option('sanitize') ? 'sanitize' : option('debug') ? 'debug' : 'release'
const folder = join(root, 'build')
const output = join(
  folder,
  `${{ release: 'flicker', debug: 'flicker-debug', sanitize: 'flicker-asan' }[kind]}.node`,
)
const { arch, platform } = process

/** Ends without native code: an error where the addon was asked for, else the portable backend. */
function skip(reason) {
  if (force || kind !== 'release') {
    console.error(`flicker: native kernels not built: ${reason}.`)
    process.exit(1)
  }
  console.log(
    `flicker: native kernels not built (${reason}); the portable backend is used: everything works, slower.`,
  )
  process.exit(0)
}

if (option('install') && existsSync(join(root, 'tsconfig.build.json'))) process.exit(0)
if (process.env.FLICKER_BACKEND === 'portable') skip('FLICKER_BACKEND=portable')
const known = instructionSetsOf(arch)
if (known.length === 0) skip(`no kernels for ${arch}`)

const asked = option('all') ? 'all' : (process.env.FLICKER_ISA ?? '')
if (!['', 'all', 'runnable', ...known].includes(asked)) {
  console.error(`flicker: FLICKER_ISA is "${asked}"; give ${known.join(', ')}, runnable or all.`)
  process.exit(2)
}

const compiler = findCompiler()
if (compiler === undefined) skip('no C++ compiler found; install g++ or clang++')

mkdirSync(folder, { recursive: true })
const runnable = () => detectInstructionSets(compiler, arch, folder)
const isas =
  asked === 'all' ? known : asked === 'runnable' ? runnable() : [asked === '' ? runnable()[0] : asked]
const build = describeBuild({
  ...{ compiler, platform, arch, isas, kind },
  ...(platform === 'win32' && windowsBuild('dlltool', folder)),
})

// A stamp of everything that decides the result: unchanged sources are not compiled again.
const digest = digestOf(build)
const stampFile = `${output}.stamp`
function isUpToDate() {
  if (!existsSync(output) || !existsSync(stampFile)) return false
  const [stamped, ...built] = readFileSync(stampFile, 'utf8').split(' ')
  return stamped === digest && isas.every(isa => built.includes(isa))
}
if (!force && isUpToDate()) {
  console.log('flicker: native kernels are up to date.')
  process.exit(0)
}

const started = performance.now()
const failure = await compile(build, output, { verbose })
if (failure !== '') {
  console.error(failure.split('\n').slice(0, 40).join('\n'))
  skip(`${compiler} failed, see above`)
}
writeFileSync(stampFile, [digest, ...isas].join(' '))
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`flicker: native kernels built (${isas.join(', ')}) in ${seconds} s.`)
