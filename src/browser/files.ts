// The files that a model in a browser is read from. The readers of model files take a path and read synchronously, so
// files are mounted under paths, and node:fs is replaced by platform/node-fs.ts, which reads them here.

/** What can be read at any offset. */
export interface ByteSource {
  readonly size: number
  /** Fills `into` with the bytes from `position` on, as many as there are; returns how many. */
  read(into: Uint8Array, position: number): number
}

const files = new Map<string, ByteSource>()

/** `path` begins with a slash. */
export function mountFile(path: string, source: ByteSource): void {
  files.set(path, source)
}

/** Removes the file, or all files of a directory. */
export function unmountFiles(path: string): void {
  for (const name of files.keys()) if (name === path || name.startsWith(`${path}/`)) files.delete(name)
}

/** Null where there is none. */
export function mountedFile(path: string): ByteSource | null {
  return files.get(path) ?? null
}

/** Names directly in a directory, sorted; null where there is no such directory. */
export function mountedNames(directory: string): string[] | null {
  const prefix = directory === '/' ? '/' : `${directory}/`
  const names = new Set<string>()
  for (const path of files.keys()) {
    if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0])
  }
  return names.size === 0 ? null : [...names].sort()
}

/** Read synchronously, which only a worker can do. */
export function blobSource(blob: Blob): ByteSource {
  const reader = new FileReaderSync()
  return {
    size: blob.size,
    read(into, position) {
      const bytes = new Uint8Array(reader.readAsArrayBuffer(blob.slice(position, position + into.length)))
      into.set(bytes)
      return bytes.length
    },
  }
}
