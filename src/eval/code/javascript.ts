// JavaScript programs: a Node that may read, write and start nothing (its permission model), in which the program runs in
// a context of its own, without `process`, `require` or anything else of Node's.

import { OptionError } from '../../errors.js'
import { permissionFlag } from '../../node-permission.js'

/** Of the heap, beside the limit of the process. */
const HEAP_MEGABYTES = 256

// `node -e` has it as a global.
declare const require: NodeJS.Require

/**
 * Runs in the other process, from its source text, so it must not use what stands outside. Reads {source, marker} from the
 * input, and prints the marker after the program has ended without an error.
 */
function bootstrap(): void {
  const fs: typeof import('node:fs') = require('node:fs')
  const vm: typeof import('node:vm') = require('node:vm')
  const { source, marker } = JSON.parse(fs.readFileSync(0, 'utf8'))
  const { writeSync } = fs
  const { reallyExit } = process as unknown as { reallyExit: (code: number) => void }
  const leave = (code: number) => reallyExit.call(process, code)
  const hosts = { process: process as unknown as Record<string, unknown>, global: globalThis as never }
  // What would reach outside, should the program find its way out of the context.
  for (const name of [
    ...[
      'kill',
      '_kill',
      'abort',
      'reallyExit',
      'exit',
      'dlopen',
      'binding',
      '_linkedBinding',
      'getBuiltinModule',
    ],
    ...['chdir', 'umask', 'setuid', 'setgid', 'seteuid', 'setegid', 'setgroups', 'initgroups', 'mainModule'],
    ...['_debugProcess', '_debugEnd', '_startProfilerIdleNotifier', 'report', 'env', 'permission'],
  ]) {
    delete hosts.process[name]
  }
  for (const name of [
    'fetch',
    'WebSocket',
    'EventSource',
    'require',
    'module',
    'exports',
    '__filename',
    '__dirname',
  ]) {
    delete (hosts.global as Record<string, unknown>)[name]
  }
  const context = vm.createContext(Object.create(null), { codeGeneration: { strings: true, wasm: false } })
  // Made inside, so that nothing in it leads to Node. An assertion that fails ends the program.
  vm.runInContext(
    `globalThis.console = Object.fromEntries(
      ['log', 'info', 'debug', 'warn', 'error', 'trace', 'table', 'time', 'timeEnd'].map(name => [name, () => {}]),
    )
    console.assert = (holds, ...message) => {
      if (!holds) throw new Error('assertion failed' + message.map(part => ' ' + String(part)).join(''))
    }`,
    context,
  )
  // At its end the process ends at once: what a program has left for later, such as the import that gives it an error of
  // this realm, never runs.
  try {
    vm.runInContext(source, context, { filename: 'program.js' })
  } catch (error) {
    let text = 'failed'
    try {
      text = String(error)
    } catch {
      // It has made its error so that it cannot be shown.
    }
    writeSync(2, text)
    leave(1)
  }
  writeSync(1, marker)
  leave(0)
}

/** Throws OptionError PERMISSION_MODEL for a Node without one. `task`: what needs it. */
export function javascriptCommand(task: string): string[] {
  const permission = permissionFlag()
  if (permission === null) {
    throw new OptionError(
      'PERMISSION_MODEL',
      `${task} runs programs under Node's permission model, which Node ${process.version} does not have; use 20.19 or later`,
    )
  }
  return [
    process.execPath,
    permission,
    ...['--no-warnings', `--max-old-space-size=${HEAP_MEGABYTES}`, '--max-semi-space-size=16'],
    ...['--input-type=commonjs', '-e', `(${bootstrap.toString()})()`],
  ]
}
