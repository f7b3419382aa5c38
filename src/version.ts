// The version of this package, read from package.json so that it stands in one place. In a program that was bundled
// into one file no package.json lies beside it: the version is then unknown, and nothing else depends on it.

import { createRequire } from 'node:module'

function readVersion(): string {
  try {
    return (createRequire(import.meta.url)('../package.json') as { version: string }).version
  } catch {
    return 'unknown'
  }
}

export const version = readVersion()
