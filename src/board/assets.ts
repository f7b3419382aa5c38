// Where the built page is. The package contains it; in a clone it is built when it is first wanted, so that `npm ci` need not.

import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { FlickerError } from '../errors.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const BUILT = path.join(root, 'dist', 'web')
const SOURCES = path.join(root, 'web')

/** The directory of the page, built now if its sources are newer. Throws FlickerError BOARD_NOT_BUILT. */
export async function boardAssets(): Promise<string> {
  const page = path.join(BUILT, 'index.html')
  const built = fs.statSync(page, { throwIfNoEntry: false })
  if (!fs.existsSync(SOURCES)) {
    if (built !== undefined) return BUILT
    throw new FlickerError('BOARD_NOT_BUILT', 'the package lacks the page of the board; install it again', {
      exitCode: 1,
    })
  }
  if (built !== undefined && built.mtimeMs >= newest(SOURCES)) return BUILT
  try {
    // Only in a clone: not a dependency of the package.
    const { build } = (await import('vite' as string)) as { build(options: object): Promise<unknown> }
    await build({ root: SOURCES, configFile: path.join(SOURCES, 'vite.config.mjs'), logLevel: 'error' })
  } catch (cause) {
    throw new FlickerError(
      'BOARD_NOT_BUILT',
      'the page of the board cannot be built; run npm ci, then npm run build:web',
      {
        exitCode: 1,
        cause,
      },
    )
  }
  return BUILT
}

function newest(directory: string): number {
  const times = fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => fs.statSync(path.join(entry.parentPath, entry.name)).mtimeMs)
  return Math.max(0, ...times)
}
