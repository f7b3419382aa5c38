// The files in which TypeScript and C++ meet are what their source in TypeScript gives.

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { contractHeader, idsHeader, signaturesModule } from './native-headers.js'

it.each([
  ['native/ids.h', idsHeader],
  ['native/contract.h', contractHeader],
  ['src/kernels/native/signatures.ts', signaturesModule],
])('%s is what its source gives (npm run headers writes it)', (file, render) => {
  const url = new URL(`../../${file}`, import.meta.url)
  if (process.env.FLICKER_WRITE_HEADERS === '1') writeFileSync(url, render())
  expect(readFileSync(url, 'utf8')).toBe(render())
})
