// Finished runs on disk, one small file per (variant, seed): an interrupted lab resumes.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { writeFileAtomic } from '../formats/atomic.js'
import type { Job } from './pool.js'
import type { RunRecord } from './results.js'

export interface RunStore {
  /** The record of an earlier session that was made in exactly this way; null when there is none. */
  load(job: Job): RunRecord | null
  /** Throws StorageError. */
  save(job: Job, record: RunRecord): void
}

/**
 * The store in `directory`. `basis` is everything besides variant and seed that decides a record (data, kernels); a
 * file of another basis is left alone and does not count.
 */
export function runStore(directory: string, basis: unknown): RunStore {
  const place = ({ variant, seed }: Job) => {
    const { name, label: _, ...decisive } = variant
    const key = createHash('sha256')
      .update(JSON.stringify([basis, decisive, seed]))
      .digest('hex')
    return { key, file: path.join(directory, `${name}-${seed}-${key.slice(0, 8)}.json`) }
  }
  return {
    load: job => {
      const { key, file } = place(job)
      if (!fs.existsSync(file)) return null
      try {
        const stored = JSON.parse(fs.readFileSync(file, 'utf8')) as { key: string; record: RunRecord }
        return stored.key === key ? stored.record : null
      } catch {
        // Damaged from outside: it is only a record of what can be done again.
        return null
      }
    },
    save: (job, record) => {
      const { key, file } = place(job)
      writeFileAtomic(file, `${JSON.stringify({ key, record })}\n`)
    },
  }
}
