// Builds the package: TypeScript into dist/, where nothing stays whose source is gone, the engine's bundle for browsers,
// and with --native the kernels at the same time, so that no core waits for the other half.
//
//   node scripts/build.mjs [--native]

import { spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs a script with its output on ours; resolves to whether it succeeded. */
function run(...args) {
  return new Promise(resolve => {
    spawn(process.execPath, args, { cwd: root, stdio: 'inherit' })
      .on('error', () => resolve(false))
      .on('close', code => resolve(code === 0))
  })
}

/** Deletes what an earlier build left in dist/: the package would contain it. */
function removeStale() {
  const written = ['flicker.wasm', 'worker-bundle.js', 'worker-source.js', 'kernels-source.js']
  for (const file of readdirSync(join(root, 'dist'), { recursive: true, withFileTypes: true })) {
    // The page of the board has sources of its own.
    if (file.isDirectory() || file.parentPath.startsWith(join(root, 'dist', 'web'))) continue
    if (written.includes(file.name)) continue
    const path = join(file.parentPath, file.name)
    const source = join(root, 'src', path.slice(join(root, 'dist').length)).replace(
      /(\.d\.ts|\.js|\.js\.map)$/,
      '.ts',
    )
    if (!existsSync(source)) rmSync(path)
  }
}

async function compileTypeScript() {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const ok = await run(join(dirname(manifest), 'bin', 'tsc'), '-p', 'tsconfig.build.json')
  if (ok) removeStale()
  return ok
}

const builds = [compileTypeScript(), run(join(root, 'scripts', 'build-browser.mjs'))]
if (process.argv.includes('--native')) builds.push(run(join(root, 'scripts', 'build-native.mjs')))
if ((await Promise.all(builds)).includes(false)) process.exitCode = 1
