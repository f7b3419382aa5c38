// Creating directories, and what the user is told when the system refuses.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { StorageError } from '../../src/errors.js'
import { writeDirectoryAtomic, writeFileAtomic } from '../../src/formats/atomic.js'
import { createDirectory, storageError } from '../../src/formats/storage.js'
import { systemError } from './disk-faults.js'
import { caught, directory } from './storage-cases.js'

describe('creating a directory', () => {
  it('creates its parents, and leaves one that exists as it is', () => {
    const target = path.join(directory, 'a/b/c')
    createDirectory(target)
    fs.writeFileSync(path.join(target, 'file'), 'x')
    createDirectory(target)
    expect(fs.readdirSync(target)).toEqual(['file'])
  })

  it('takes one that another process creates at the same moment', () => {
    const target = path.join(directory, 'a/b')
    const { mkdirSync } = fs
    vi.spyOn(fs, 'mkdirSync').mockImplementation(((created: string) => {
      mkdirSync(created)
      return mkdirSync(created)
    }) as typeof fs.mkdirSync)
    createDirectory(target)
    expect(fs.statSync(target).isDirectory()).toBe(true)
  })

  // Node's recursive mkdir never returns there: in a process of its own, so that a hang would end.
  it.skipIf(process.platform !== 'linux')(
    'ends with a message below /proc, which holds no directories',
    () => {
      const error = caught(() => createDirectory('/proc/flicker/out'))
      expect(error).toMatchObject({ code: 'DIRECTORY_REFUSED', exitCode: 1 })
      expect(error.message).toMatch(/^\/proc\/flicker cannot be created: .*write elsewhere$/)
    },
  )

  it.skipIf(process.platform !== 'linux').each([
    ['a file', (to: string) => writeFileAtomic(to, 'x')],
    ['a directory', (to: string) => writeDirectoryAtomic(to, [])],
  ])('so does writing %s there', (_, write) => {
    expect(caught(() => write('/proc/flicker/out')).code).toBe('DIRECTORY_REFUSED')
  })

  it.each([
    ['createDirectory', createDirectory],
    ['writeFileAtomic', (to: string) => writeFileAtomic(to, 'x')],
    ['writeDirectoryAtomic', (to: string) => writeDirectoryAtomic(to, [])],
  ])('%s names what stands in its way', (_, write) => {
    fs.writeFileSync(path.join(directory, 'file'), 'x')
    fs.symlinkSync('nowhere', path.join(directory, 'dangling'))
    fs.symlinkSync('loop', path.join(directory, 'loop'))
    for (const [name, code] of [
      ['file/below', 'NOT_A_DIRECTORY'],
      ['dangling', 'LINK_DANGLING'],
      ['dangling/below', 'LINK_DANGLING'],
      ['loop', 'LINK_LOOP'],
      ['loop/below', 'LINK_LOOP'],
      ['n'.repeat(256), 'NAME_TOO_LONG'],
      ['nul\0', 'PATH_INVALID'],
    ] as const) {
      const error = caught(() => write(`${directory}/${name}`))
      expect(error.code, name).toBe(code)
    }
    expect(fs.readdirSync(directory).sort()).toEqual(['dangling', 'file', 'loop'])
  })
})

describe('what the operating system refuses', () => {
  it.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'QUOTA_EXCEEDED'],
    ['EACCES', 'PERMISSION_DENIED'],
    ['EPERM', 'PERMISSION_DENIED'],
    ['EROFS', 'READ_ONLY'],
    ['ENOTDIR', 'NOT_A_DIRECTORY'],
    ['ENAMETOOLONG', 'NAME_TOO_LONG'],
    ['EMFILE', 'TOO_MANY_OPEN_FILES'],
    ['EIO', 'STORAGE_FAILED'],
  ] as const)('%s is a StorageError %s that names the file and exits with 1', (name, code) => {
    // Node names a quota only by its number.
    const errno = -os.constants.errno[name]
    const cause = systemError(name === 'EDQUOT' ? `Unknown system error ${errno}` : name, errno)
    const error = storageError(cause, path.join(directory, 'file'), 5)
    expect(error).toBeInstanceOf(StorageError)
    expect(error).toMatchObject({ code, exitCode: 1, cause })
    expect((error as Error).message).toContain(path.join(directory, 'file'))
  })

  it('but a bug stays what it is', () => {
    const bug = new TypeError('undefined is not a function')
    expect(storageError(bug, 'file', 0)).toBe(bug)
  })
})
