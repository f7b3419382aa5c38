// XGrammar's WebAssembly module, loaded in Node. Its package says that its one file is an ES module, but the file is a
// CommonJS one (UMD) that asks for `require`: so it is compiled as what it is.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import vm from 'node:vm'

export type XGrammar = typeof import('@mlc-ai/web-xgrammar')

export function loadXGrammar(): XGrammar {
  const require = createRequire(import.meta.url)
  const file = require.resolve('@mlc-ai/web-xgrammar')
  const parameters = ['exports', 'module', 'require', '__filename']
  const run = vm.compileFunction(readFileSync(file, 'utf8'), parameters, {
    filename: file,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const module = { exports: {} }
  run(module.exports, module, require, file)
  return module.exports as XGrammar
}
