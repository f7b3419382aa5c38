// RUN/branch-STEP/: a training checkpoint that another run may begin from. It is not one of the run's own checkpoints,
// which are removed as newer ones are saved.

import path from 'node:path'
import { completeDirectories, removeDirectoryAtomic } from '../formats/atomic.js'
import { storageError } from '../formats/index.js'
import { statOrNull } from '../formats/storage.js'

const BRANCH_NAME = /^branch-[1-9]\d*$/

/** Where the run in `directory` keeps its state after `step`. */
export function branchDirectory(directory: string, step: number): string {
  return path.join(directory, `branch-${step}`)
}

/** Whether the run in `directory` has kept its state after `step`. */
export function hasBranch(directory: string, step: number): boolean {
  return branchNames(directory).includes(`branch-${step}`)
}

/** Removes what the run in `directory` has kept for others. Throws StorageError. */
export function removeBranches(directory: string): void {
  for (const name of branchNames(directory)) removeDirectoryAtomic(path.join(directory, name))
}

function branchNames(directory: string): string[] {
  if (statOrNull(directory)?.isDirectory() !== true) return []
  try {
    return completeDirectories(directory).filter(name => BRANCH_NAME.test(name))
  } catch (cause) {
    throw storageError(cause, directory, 0)
  }
}
