// node:path for the worker: POSIX paths.

export const sep = '/'

export function resolve(...parts: string[]): string {
  let path = ''
  for (const part of parts) path = part.startsWith('/') ? part : `${path}/${part}`
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return `/${names.join('/')}`
}

export function join(...parts: string[]): string {
  return resolve('/', parts.join('/'))
}

export function dirname(path: string): string {
  const end = path.lastIndexOf('/')
  return end <= 0 ? '/' : path.slice(0, end)
}

export function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

export function extname(path: string): string {
  const name = basename(path)
  const at = name.lastIndexOf('.')
  return at <= 0 ? '' : name.slice(at)
}

export default { sep, resolve, join, dirname, basename, extname }
