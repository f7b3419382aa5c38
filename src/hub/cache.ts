// The Hub's cache as Python's huggingface_hub lays it out, so that both share it: blobs/HASH, snapshots/COMMIT/FILE (links to
// blobs), refs/REVISION (the commit).

import fs from 'node:fs'
import path from 'node:path'
import { OptionError } from '../errors.js'
import { createDirectory, storageError } from '../formats/storage.js'
import type { HubFile } from './select-files.js'

export class RepositoryCache {
  readonly directory: string

  constructor(cache: string, repo: string, kind: 'model' | 'dataset' = 'model') {
    this.directory = path.join(cache, `${kind}s--${repo.replace('/', '--')}`)
  }

  /** The commit that a revision was when it was last asked for; null if never. A commit is itself. */
  commitOf(revision: string): string | null {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision
    try {
      return fs.readFileSync(path.join(this.directory, 'refs', revision), 'utf8').trim()
    } catch {
      return null
    }
  }

  remember(revision: string, commit: string): void {
    if (revision === commit) return
    const file = path.join(this.directory, 'refs', revision)
    this.#writing(file, () => {
      createDirectory(path.dirname(file))
      fs.writeFileSync(file, commit)
    })
  }

  snapshot(commit: string): string {
    return path.join(this.directory, 'snapshots', commit)
  }

  /** Paths of the files of a snapshot that are complete, with slashes. */
  filesOf(commit: string): { path: string; size: number }[] {
    const root = this.snapshot(commit)
    if (!fs.existsSync(root)) return []
    return fs
      .readdirSync(root, { recursive: true, withFileTypes: true })
      .map(entry => path.join(entry.parentPath, entry.name))
      .flatMap(file => {
        const stat = fs.statSync(file, { throwIfNoEntry: false })
        return stat?.isFile() === true
          ? [{ path: path.relative(root, file).split(path.sep).join('/'), size: stat.size }]
          : []
      })
  }

  blob({ hash }: HubFile): string {
    return path.join(this.directory, 'blobs', hash.hex)
  }

  /** Bytes of a blob that are there already: all of them, or what an interrupted download has left. */
  bytesOf(file: HubFile): number {
    const blob = this.blob(file)
    const whole = fs.statSync(blob, { throwIfNoEntry: false })
    return (whole ?? fs.statSync(`${blob}.incomplete`, { throwIfNoEntry: false }))?.size ?? 0
  }

  /** Makes a complete blob a file of the snapshot; returns its path there. */
  link(file: HubFile, commit: string): string {
    const target = path.join(this.snapshot(commit), ...file.path.split('/'))
    const blob = this.blob(file)
    this.#writing(target, () => {
      createDirectory(path.dirname(target))
      if (fs.existsSync(target)) return
      // A link whose blob was deleted.
      fs.rmSync(target, { force: true })
      try {
        fs.symlinkSync(path.relative(path.dirname(target), blob), target)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) throw error
        // Windows without the right to make links.
        fs.copyFileSync(blob, target)
      }
    })
    return target
  }

  #writing(file: string, write: () => void): void {
    try {
      write()
    } catch (cause) {
      throw storageError(cause, file, 0)
    }
  }
}

/** A model of the cache, for lists. */
export interface CachedModel {
  readonly repo: string
  /** Of all its files, those of interrupted downloads too. */
  readonly bytes: number
  /** Of interrupted downloads. */
  readonly incompleteBytes: number
  readonly files: readonly string[]
  readonly directory: string
}

/** All models of the cache, by name. */
export function cachedModels(cache: string): CachedModel[] {
  if (!fs.existsSync(cache)) return []
  return fs
    .readdirSync(cache, { withFileTypes: true })
    .filter(entry => entry.isDirectory() && /^models--.+--.+$/.test(entry.name))
    .map(({ name }) => {
      const repo = name.slice('models--'.length).replace('--', '/')
      const own = new RepositoryCache(cache, repo)
      const blobs = path.join(own.directory, 'blobs')
      const sizes = fs.existsSync(blobs)
        ? fs.readdirSync(blobs).map(blob => [blob, fs.statSync(path.join(blobs, blob)).size] as const)
        : []
      const sum = (of: readonly (readonly [string, number])[]) =>
        of.reduce((total, [, size]) => total + size, 0)
      const snapshots = path.join(own.directory, 'snapshots')
      const commits = fs.existsSync(snapshots) ? fs.readdirSync(snapshots) : []
      const files = commits.flatMap(commit => own.filesOf(commit).map(file => file.path))
      return {
        repo,
        bytes: sum(sizes),
        incompleteBytes: sum(sizes.filter(([blob]) => blob.endsWith('.incomplete'))),
        files: [...new Set(files)].sort(),
        directory: own.directory,
      }
    })
    .sort((a, b) => a.repo.localeCompare(b.repo))
}

/** Deletes a model from the cache; returns it. Throws OptionError HUB_NOT_CACHED. */
export function removeCachedModel(cache: string, repo: string): CachedModel {
  const models = cachedModels(cache)
  const model = models.find(one => one.repo === repo)
  if (model === undefined) {
    const names = models.map(one => one.repo).join(', ')
    throw new OptionError(
      'HUB_NOT_CACHED',
      `${repo} is not in ${cache}; ${names === '' ? 'no model is' : `there are ${names}`}`,
    )
  }
  try {
    fs.rmSync(model.directory, { recursive: true, force: true })
  } catch (cause) {
    throw storageError(cause, model.directory, 0)
  }
  return model
}
