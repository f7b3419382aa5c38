// Which model a log of samples belongs to: its files by name, size and time of change, without reading them.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'

/** Changes when one of the model's files does. `model`: a file, or a directory with files. */
export function modelIdentity(model: string): string {
  const real = fs.realpathSync(model)
  const files = fs.statSync(real).isDirectory()
    ? fs
        .readdirSync(real)
        .sort()
        .map(name => path.join(real, name))
    : [real]
  const parts = files.flatMap(file => {
    const stat = fs.statSync(file)
    return stat.isFile() ? [[path.basename(file), stat.size, stat.mtimeMs]] : []
  })
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

/** A name for a model's results that two models do not share: the end of its path and a hash of all of it. */
export function modelKey(model: string): string {
  const real = fs.realpathSync(model)
  const hash = createHash('sha256').update(real).digest('hex').slice(0, 8)
  return `${path.basename(real).replace(/[^\w.-]/g, '_')}-${hash}`
}
