// The WebAssembly module in the package.

import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Where the build puts it: beside the compiled files, whether this one runs compiled or from its source. */
function moduleFile(): string | null {
  const places = ['../../flicker.wasm', '../../../dist/flicker.wasm']
  const files = places.map(place => fileURLToPath(new URL(place, import.meta.url)))
  return files.find(file => existsSync(file)) ?? null
}

/** Whether it was built. */
export function hasModuleFile(): boolean {
  return moduleFile() !== null
}

/** Null where it was not built. */
export function readModuleFile(): Uint8Array | null {
  const file = moduleFile()
  return file === null ? null : readFileSync(file)
}
