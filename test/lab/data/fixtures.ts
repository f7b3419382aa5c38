// The check vectors that NumPy and scikit-learn made (test/fixtures/lab/make_fixtures.py).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/lab', name), 'utf8'))
}
