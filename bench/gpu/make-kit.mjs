// Packs what a machine with a GPU and without Node or network needs to run bench/gpu/run.sh into build/gpu-kit: Node itself
// without its symbols, Dawn, the Vulkan loader of this machine, and the measurements in one file.
//   npm run build && node bench/gpu/make-kit.mjs

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'

const kit = 'build/gpu-kit'
const LIMIT = 40 * 2 ** 20
mkdirSync(kit, { recursive: true })

function pack(name, file) {
  writeFileSync(path.join(kit, `${name}.gz`), gzipSync(readFileSync(file), { level: 6 }))
}

if (!existsSync(path.join(kit, 'node.gz'))) {
  const stripped = path.join(tmpdir(), `flicker-node-${process.pid}`)
  copyFileSync(process.execPath, stripped)
  execFileSync('strip', ['--strip-all', stripped])
  pack('node', stripped)
  rmSync(stripped)
}
const webgpu = path.dirname(createRequire(import.meta.url).resolve('webgpu'))
pack('dawn.node', path.join(webgpu, 'dist/linux-x64/dawn.node'))
copyFileSync(path.join(webgpu, 'index.js'), path.join(kit, 'webgpu.js'))
const loader = execFileSync('ldconfig', ['-p'], { encoding: 'utf8' }).match(
  /libvulkan\.so\.1 .*=> (\S+)/,
)?.[1]
if (loader === undefined) throw new Error('there is no libvulkan.so.1 here; apt-get install libvulkan1')
pack('libvulkan.so.1', loader)

const bundle = await rolldown({
  input: 'bench/gpu/measure.mjs',
  external: ['webgpu', /\.node$/],
  platform: 'node',
  logLevel: 'silent',
})
await bundle.write({ file: path.join(kit, 'measure.mjs'), format: 'esm', codeSplitting: false })
copyFileSync('package.json', path.join(kit, 'package.json'))

const bytes = ['node.gz', 'dawn.node.gz', 'webgpu.js', 'libvulkan.so.1.gz', 'measure.mjs', 'package.json']
  .map(name => statSync(path.join(kit, name)).size)
  .reduce((sum, size) => sum + size, 0)
console.log(`${kit}: ${(bytes / 2 ** 20).toFixed(1)} MiB`)
if (bytes > LIMIT) throw new Error(`the kit is larger than ${LIMIT / 2 ** 20} MiB`)
