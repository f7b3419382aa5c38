// Packs flicker-lm, looks at the tarball with publint and @arethetypeswrong/cli, installs it into an empty project and
// uses it there: the library, its types under `strict` without skipLibCheck in three kinds of project, the command line,
// and bundles: by esbuild for Node, by esbuild and webpack for a page. Needs the npm registry.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './native-sources.mjs'

const folder = mkdtempSync(join(tmpdir(), 'flicker-package-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

function run(command, args, cwd = folder) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) {
    console.error(`package: ${command} ${args.join(' ')} failed\n${stdout}${stderr}`)
    process.exit(1)
  }
  return stdout.trim()
}

const tarball = join(
  folder,
  run('npm', ['pack', '--silent', '--pack-destination', folder], root).split('\n').at(-1),
)
run('npx', ['-y', 'publint@0.3.25', tarball, '--strict'], root)
// Only ES modules are shipped: CommonJS projects use import(), or require() from Node 20.19 on.
run(
  'npx',
  [
    '-y',
    '@arethetypeswrong/cli@0.18.5',
    tarball,
    '--profile',
    'node16',
    '--ignore-rules',
    'cjs-resolves-to-esm',
  ],
  root,
)
console.log('package: publint and arethetypeswrong are content')

const project = join(folder, 'project')
mkdirSync(project)
writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}')
run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', tarball, '@types/node@20'], project)
const installed = join(project, 'node_modules', 'flicker-lm')

// Every relative link of the documents leads to a file in the package.
for (const file of ['README.md', 'docs/library.md']) {
  const text = readFileSync(join(installed, file), 'utf8')
  for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
    if (!existsSync(join(installed, file, '..', target))) {
      console.error(`package: ${file} links to ${target}, which is not in the package`)
      process.exit(1)
    }
  }
}

const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const use =
  "import * as flicker from 'flicker-lm'\nimport * as lab from 'flicker-lm/lab'\nconsole.log(flicker.load, lab.runLab)\n"
writeFileSync(join(project, 'use.mts'), use)
writeFileSync(join(project, 'use.cts'), use)
const strict = ['--noEmit', '--strict', '--target', 'es2023', '--lib', 'es2023', '--types', 'node']
run(process.execPath, [tsc, ...strict, '--module', 'nodenext', 'use.mts'], project)
run(process.execPath, [tsc, ...strict, '--module', 'nodenext', 'use.cts'], project)
run(
  process.execPath,
  [tsc, ...strict, '--module', 'esnext', '--moduleResolution', 'bundler', 'use.mts'],
  project,
)
console.log('package: types hold under strict in nodenext, CommonJS and bundler projects')

const program = `
import { load, prepareData, train } from 'flicker-lm'
import { writeFileSync } from 'node:fs'
writeFileSync('corpus.txt', Array.from({ length: 200 }, (_, i) => 'line ' + i).join('\\n'))
const { checkpoint } = await train({
  directory: 'run',
  strategy: { strategy: 'swift' },
  data: prepareData({ corpus: 'corpus.txt', tokenizer: 'bytes' }),
  model: { hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 1 },
  training: { steps: 2, batchSize: 2, context: 8, evalTokens: 16 },
})
const model = await load(checkpoint)
const { text } = await model.complete('l', { maxTokens: 4 })
if (text.length === 0) throw new Error('no text')
model.dispose()
`
writeFileSync(join(project, 'program.mjs'), program)
run(process.execPath, ['program.mjs'], project)
run(process.execPath, [join(installed, 'dist', 'cli', 'main.js'), 'info', '--json'], project)
console.log('package: the library and the command line run in an empty project')

// The package reads its own files (native code, worker, recipes), so bundles leave it outside.
run(
  'npx',
  [
    '-y',
    'esbuild@0.25.12',
    'program.mjs',
    '--bundle',
    '--platform=node',
    '--format=esm',
    '--external:flicker-lm',
    '--outfile=bundle.mjs',
  ],
  project,
)
run(process.execPath, ['bundle.mjs'], project)
console.log('package: a bundle with flicker-lm marked external runs')

// A page: nothing is configured, and nothing of Node is left in what it loads.
writeFileSync(join(project, 'page.mjs'), "import { load } from 'flicker-lm/web'\nglobalThis.load = load\n")
const browserUse =
  "import { load } from 'flicker-lm/web'\nload('model.gguf').then(model => model.complete('a'))\n"
writeFileSync(join(project, 'page-use.mts'), browserUse)
const browserTypes = [
  '--noEmit',
  '--strict',
  '--target',
  'es2023',
  '--lib',
  'es2023,dom',
  '--module',
  'esnext',
]
run(
  process.execPath,
  [tsc, ...browserTypes, '--moduleResolution', 'bundler', '--skipLibCheck', 'page-use.mts'],
  project,
)
run(
  'npx',
  ['-y', 'esbuild@0.25.12', 'page.mjs', '--bundle', '--format=esm', '--outfile=page-esbuild.js'],
  project,
)
const webpack = ['-y', '-p', 'webpack@5.113.0', '-p', 'webpack-cli@7.3.1', 'webpack']
run(
  'npx',
  [...webpack, '--mode', 'production', '--entry', './page.mjs', '--output-path', 'page-webpack'],
  project,
)
const bundles = [join(project, 'page-esbuild.js'), join(project, 'page-webpack', 'main.js')]
for (const file of bundles) {
  if (/from ?"node:|require\("node:/.test(readFileSync(file, 'utf8'))) {
    console.error(`package: ${file} imports a module of Node`)
    process.exit(1)
  }
}
const kernelsSource = readFileSync(join(installed, 'dist', 'browser', 'kernels-source.js'), 'utf8')
if (kernelsSource.length < 500_000) {
  console.error('package: flicker-lm/web has no WebAssembly kernels; run npm run build:wasm')
  process.exit(1)
}
console.log('package: esbuild and webpack bundle flicker-lm/web without configuration')
