// Bundles the engine for browsers: the worker's program with all that it needs, as one script, and the WebAssembly kernels
// in base64. Both become modules of dist/browser/, beside what the compiler writes there, so that flicker-lm/web is plain
// ES modules for whatever bundles a page.
//
//   node scripts/build-browser.mjs

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = join(root, 'src')
const output = join(root, 'dist', 'browser')
const platform = name => join(source, 'browser', 'platform', `${name}.ts`)

/** What stands for Node's modules. Another one that is imported is an error: it would not exist in a browser. */
const nodeModules = {
  'node:fs': platform('node-fs'),
  'node:path': platform('node-path'),
  'node:util': platform('node-util'),
  'node:os': platform('node-os'),
  ...Object.fromEntries(
    ['node:module', 'node:crypto', 'node:zlib', 'node:url', 'node:worker_threads'].map(name => [
      name,
      platform('node-others'),
    ]),
  ),
}
/** Files of src/ whose work a browser does in another way, or not at all. */
const replaced = {
  'version.ts': platform('version'),
  'activations/activation-file.ts': platform('activation-file'),
  'kernels/wasm/module-file.ts': platform('module-file'),
  'kernels/wasm/start-thread.ts': platform('start-thread'),
  'kernels/native/find-addon.ts': platform('addon'),
  'engine/ffn/crossover-cache.ts': platform('crossover-cache'),
  'engine/model/spill-file.ts': platform('spill-file'),
  'engine/grammar/grammar-thread.ts': platform('grammar-thread'),
  'engine/chat/template-sandbox.ts': platform('template-sandbox'),
}

const forBrowsers = {
  name: 'for-browsers',
  async resolveId(id, importer) {
    if (id.startsWith('node:')) {
      if (nodeModules[id] !== undefined) return nodeModules[id]
      throw new Error(`${relative(root, importer)} imports ${id}, which a browser does not have`)
    }
    if (!id.startsWith('.') || importer === undefined) return null
    const file = join(dirname(importer), id).replace(/\.js$/, '.ts')
    return replaced[relative(source, file)] ?? (existsSync(file) ? file : null)
  },
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const bundle = await rolldown({
  input: join(source, 'browser', 'worker.ts'),
  plugins: [forBrowsers],
  external: ['webgpu'],
  platform: 'browser',
  treeshake: {
    moduleSideEffects: id => id.endsWith('platform/process.ts') || id.endsWith('browser/worker.ts'),
  },
  transform: { define: { FLICKER_VERSION: JSON.stringify(version) } },
  onLog(level, log, handler) {
    // A name that a module of the platform lacks would be undefined when it is called.
    if (log.code === 'IMPORT_IS_UNDEFINED' || log.code === 'MISSING_EXPORT') throw new Error(log.message)
    if (level === 'warn') handler(level, log)
  },
})
const { output: chunks } = await bundle.generate({ format: 'iife', minify: true, codeSplitting: false })
await bundle.close()
const [{ code }] = chunks

mkdirSync(output, { recursive: true })
const wasm = join(root, 'dist', 'flicker.wasm')
const kernels = existsSync(wasm) ? readFileSync(wasm).toString('base64') : ''
writeFileSync(join(output, 'worker-bundle.js'), code)
writeFileSync(join(output, 'worker-source.js'), `export default ${JSON.stringify(code)}\n`)
writeFileSync(join(output, 'kernels-source.js'), `export default '${kernels}'\n`)
const size = bytes => `${(bytes / 1000).toFixed(0)} kB`
console.log(
  `flicker: browser engine built: ${size(code.length)}, ` +
    (kernels === '' ? 'no WebAssembly kernels' : `WebAssembly kernels ${size((kernels.length * 3) / 4)}`),
)
