// What the native addon is compiled from, for any platform: instruction sets, files, compiler flags, and one build of
// them. Used by build-native.mjs (this machine) and prebuild.mjs (every platform).

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const source = join(root, 'native')

/** Files compiled once; every other .cc is a kernel file, compiled once per instruction set. */
const shared = [
  'binding.cc',
  'activation_entries.cc',
  'decoding_entries.cc',
  'mlp_entries.cc',
  'training_entries.cc',
  'cpu.cc',
  'parallel.cc',
  'read_file.cc',
  'recorded_calls.cc',
]
/** Kernel files whose inner loops are written as vectors: -O3 makes them no faster, and takes up to twice as long. */
const writtenAsVectors = ['integer_matvec.cc', 'integer_neurons.cc', 'gemm.cc', 'narrow_gate.cc']

/** Compiled first, because they take longest: a core that begins one last would work alone at the end. */
const slowest = [
  'super_block_rows.cc',
  'scaled_rows.cc',
  'gemm.cc',
  'activation.cc',
  'unscaled_rows.cc',
  'attention_backward.cc',
  'row_selection.cc',
  'mlp.cc',
]

/** Instruction sets of an architecture, best first, each with the compiler's flags. */
const instructionSets = {
  x64: {
    avx512: ['-march=skylake-avx512', '-mprefer-vector-width=512'],
    avx2: ['-mavx2', '-mfma', '-mf16c'],
    'x86-64': [],
  },
  arm64: { neon: [] },
}

/** The files that are compiled once per instruction set, the slowest first. */
export function kernelFiles() {
  const files = readdirSync(source).filter(name => name.endsWith('.cc'))
  return [...slowest, ...files.filter(name => !shared.includes(name) && !slowest.includes(name))]
}

/** Names of the instruction sets that there are kernels for on an architecture, best first. */
export const instructionSetsOf = arch => Object.keys(instructionSets[arch] ?? {})

/** The name in C++: of the namespace, and of the macro FLICKER_ISA. */
const identifier = isa => isa.replaceAll('-', '_')

/** The first C++ compiler that there is: CXX, then the usual names; undefined without one. */
export function findCompiler() {
  return [process.env.CXX, 'c++', 'g++', 'clang++'].find(
    name => name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  )
}

/** The text of `compiler --version`. */
export const versionOf = compiler => spawnSync(compiler, ['--version']).stdout.toString()

// Undefined behavior is reported and ends the process, like an address error.
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined']

/** The kinds of build: for use, for a debugger, and with sanitizers. */
const kinds = {
  release: { compile: ['-O3'], link: [], lighter: true },
  debug: { compile: ['-O0', '-g'], link: [] },
  sanitize: { compile: ['-O0', '-g1', ...sanitizers, '-fno-omit-frame-pointer'], link: sanitizers },
}

/**
 * A build of the addon, described but not run.
 *
 *   compiler   the command
 *   platform   `linux`, `darwin` or `win32`, as in process.platform: that of the addon, not of this machine
 *   arch       `x64` or `arm64`, likewise
 *   isas       names out of instructionSetsOf(arch)
 *   kind       `release`, `debug` or `sanitize`
 *   extra      further flags for every file, such as warnings
 *   link       further arguments of the linker
 */
export function describeBuild({ compiler, platform, arch, isas, kind = 'release', extra = [], link = [] }) {
  // Multiply-adds are fused where the source writes them as one expression. Clang's "fast" would also fuse across
  // statements, differently from one copy of an inlined function to the next; GCC knows "on" only since version 14.
  const contract = versionOf(compiler).includes('clang') ? 'on' : 'fast'
  const { include_dir: nodeApi } = createRequire(import.meta.url)('node-api-headers')
  const flags = [
    '-std=c++20',
    ...kinds[kind].compile,
    ...(platform === 'win32' ? [] : ['-fPIC']),
    '-fvisibility=hidden',
    '-fno-math-errno',
    '-fno-trapping-math',
    `-ffp-contract=${contract}`,
    ...extra,
  ]
  const kernels = kernelFiles()
  // The last level on the command line counts. What reads arguments does no arithmetic.
  const level = file => {
    if (!kinds[kind].lighter || file === 'parallel.cc') return []
    return shared.includes(file) ? ['-O1'] : writtenAsVectors.includes(file) ? ['-O2'] : []
  }
  const compiled = isas.map(isa => `each(${identifier(isa)})`).join(' ')
  const sharedFlags = ['-DNAPI_VERSION=8', `-I${nodeApi}`, `-DFLICKER_COMPILED(each)=${compiled}`]
  const units = [
    ...isas.flatMap(isa => {
      const own = [`-DFLICKER_ISA=${identifier(isa)}`, ...instructionSets[arch][isa]]
      return kernels.map(file => ({ file, isa, flags: [...own, ...level(file)] }))
    }),
    ...shared.map(file => ({ file, isa: '', flags: [...sharedFlags, ...level(file)] })),
  ]
  const module = platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-pthread']
  return { compiler, platform, isas, flags, units, link: [...module, ...kinds[kind].link, ...link] }
}

/**
 * Further compiler flags and linker arguments of a Windows build by MinGW. A Windows library names the program that its
 * symbols come from: an import library of node.exe is made from the lists of symbols in node-api-headers. GCC believes
 * that the stack is aligned to 32 bytes, which Windows does not promise: the assembler writes moves that do not need it.
 */
export function windowsBuild(dlltool, folder) {
  mkdirSync(folder, { recursive: true })
  const { def_paths: lists } = createRequire(import.meta.url)('node-api-headers')
  const symbols = Object.values(lists).flatMap(file =>
    readFileSync(file, 'utf8').match(/^napi_\w+|^node_api_\w+/gm),
  )
  const definition = join(folder, 'node.def')
  const library = join(folder, 'libnode.a')
  writeFileSync(definition, ['NAME node.exe', 'EXPORTS', ...new Set(symbols), ''].join('\n'))
  const { status, stderr } = spawnSync(dlltool, ['-d', definition, '-l', library])
  if (status !== 0) throw new Error(`${dlltool} failed: ${stderr ?? 'it is not installed'}`)
  return { extra: ['-Wa,-muse-unaligned-vector-move'], link: ['-static', library] }
}

/** A digest of everything that decides the result but the choice of instruction sets. */
export function digestOf({ compiler, flags, units, link }) {
  const hash = createHash('sha256')
  for (const name of readdirSync(source).sort()) {
    if (/\.(cc|h)$/.test(name)) hash.update(name).update(readFileSync(join(source, name)))
  }
  // Not the units' other flags: those name the chosen instruction sets.
  const levels = new Set(
    units.map(({ file, flags: own }) => [file, ...own.filter(flag => /^-O/.test(flag))].join()),
  )
  return hash
    .update(JSON.stringify([flags, [...levels], instructionSets, link, versionOf(compiler)]))
    .digest('hex')
}

/** Runs the compiler; resolves to whether it succeeded and what it wrote to stderr. */
function run(compiler, args, verbose) {
  if (verbose) console.log(compiler, args.join(' '))
  return new Promise(resolve => {
    const child = spawn(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'] })
    let errors = ''
    child.stderr.on('data', chunk => {
      errors += chunk
    })
    child.on('error', error => resolve({ ok: false, errors: error.message }))
    child.on('close', code => resolve({ ok: code === 0, errors }))
  })
}

/**
 * Every kernel file includes the compiler's intrinsics, which take longer to read than most of the files: GCC reads
 * them once per instruction set into a precompiled header. Returns the flags that use it; none with another compiler.
 */
async function precompileHeader({ compiler, flags }, isa, own, folder) {
  if (!versionOf(compiler).includes('Free Software Foundation')) return []
  const header = join(folder, `${identifier(isa)}.h`)
  const includes = ['simd.h', 'kernels.h', 'parallel.h'].map(name => `#include "${join(source, name)}"\n`)
  writeFileSync(header, includes.join(''))
  const { ok } = await run(compiler, [...flags, ...own, '-x', 'c++-header', header, '-o', `${header}.gch`])
  return ok ? ['-include', header] : []
}

/**
 * Compiles a described build on all cores and links it to `output`, which is replaced only by a whole one. Resolves
 * to '' or to what the compiler said. `check: true` compiles without linking, for the warnings.
 */
export async function compile(build, output, { verbose = false, check = false } = {}) {
  // A folder of its own, so that two builds at once do not take each other's objects away.
  const folder = join(dirname(output), `obj.${process.pid}`)
  mkdirSync(folder, { recursive: true })
  try {
    const objects = []
    const compiling = ({ file, isa, flags }, header) => {
      const object = join(folder, `${isa}-${file.replaceAll('/', '-')}.o`)
      objects.push(object)
      return async () => {
        const own = [...build.flags, ...flags, ...((await header) ?? [])]
        return run(build.compiler, [...own, '-c', join(source, file), '-o', object], verbose)
      }
    }
    // The headers, and on the other cores what does not need them; then the longest.
    const shared = build.units.filter(({ isa }) => isa === '').map(unit => compiling(unit))
    const kernels = build.isas.flatMap(isa => {
      const units = build.units.filter(unit => unit.isa === isa)
      let made = () => {}
      const header = new Promise(resolve => {
        made = resolve
      })
      const making = async () => {
        made(await precompileHeader(build, isa, units[0].flags, folder))
        return { ok: true, errors: '' }
      }
      return [making, ...units.map(unit => compiling(unit, header))]
    })
    const [first, ...rest] = kernels
    const queue = [first, shared[0], ...rest, ...shared.slice(1)]
    let failure = ''
    await Promise.all(
      Array.from({ length: availableParallelism() }, async () => {
        for (let job = queue.shift(); job !== undefined && failure === ''; job = queue.shift()) {
          const { ok, errors } = await job()
          if (!ok) failure = errors || 'the compiler failed without a message'
          else if (verbose && errors) console.error(errors)
        }
      }),
    )
    if (failure !== '' || check) return failure
    const temporary = join(folder, 'linked.node')
    const { ok, errors } = await run(build.compiler, [...objects, ...build.link, '-o', temporary], verbose)
    if (!ok) return errors || 'the linker failed without a message'
    renameSync(temporary, output)
    return ''
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Instruction sets that this machine's processor runs, best first, asked of native/cpu.cc; all where that fails. */
export function detectInstructionSets(compiler, arch, folder) {
  const program = join(folder, `instruction-sets.${process.pid}${process.platform === 'win32' ? '.exe' : ''}`)
  const sources = ['cpu.cc', 'check/instruction_sets.cc'].map(name => join(source, name))
  mkdirSync(folder, { recursive: true })
  try {
    spawnSync(compiler, ['-std=c++20', '-O0', ...sources, '-o', program], { stdio: 'ignore' })
    const names = spawnSync(program).stdout?.toString().split(/\s+/).filter(Boolean) ?? []
    return names.length > 0 ? names : instructionSetsOf(arch)
  } finally {
    rmSync(program, { force: true })
  }
}
