// The version of this package, read from package.json so that it stands in one place.

import { createRequire } from 'node:module'

export const version: string = (createRequire(import.meta.url)('../package.json') as { version: string })
  .version
