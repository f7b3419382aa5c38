// Atomic writes: what is there before, during and after, and what the user is told when the system refuses.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StorageError } from '../../src/errors.js'
import { resolveDirectory, writeDirectoryAtomic, writeFileAtomic } from '../../src/formats/atomic.js'
import { createDirectory, storageError } from '../../src/formats/storage.js'
import { fillDiskAfter, runKilledAfter, systemError } from './disk-faults.js'
import { temporaryDirectory } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let directory = ''
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(root, 'case-'))
})
afterEach(() => vi.restoreAllMocks())

/** A process that has ended: whatever carries its id is stale. */
const deadPid = spawnSync('true').pid

function caught(action: () => void): StorageError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(StorageError)
    return error as StorageError
  }
  throw new Error('nothing was thrown')
}

describe('a file', () => {
  it('is written whole, in pieces of text and bytes, with its parent directories', () => {
    const file = path.join(directory, 'a/b/file')
    writeFileAtomic(file, ['é', Uint8Array.of(0, 255), 'z'])
    expect(fs.readFileSync(file)).toEqual(Buffer.from([0xc3, 0xa9, 0, 255, 0x7a]))
    writeFileAtomic(file, 'short')
    expect(fs.readFileSync(file, 'utf8')).toBe('short')
    expect(fs.readdirSync(path.dirname(file))).toEqual(['file'])
  })

  it('is old or new, never half, when the process is killed within any call', () => {
    const file = path.join(directory, 'file')
    fs.writeFileSync(file, 'old content')
    const write = () => writeFileAtomic(file, ['new ', 'content'])
    let calls = 0
    while (!runKilledAfter(calls, write)) {
      expect(['old content', 'new content']).toContain(fs.readFileSync(file, 'utf8'))
      calls++
    }
    expect(calls).toBeGreaterThan(4)
    expect(fs.readFileSync(file, 'utf8')).toBe('new content')
  })

  it('is left as it was when its content cannot be made', () => {
    const file = path.join(directory, 'file')
    fs.writeFileSync(file, 'old')
    const failing = function* () {
      yield 'new'
      throw new Error('no more')
    }
    expect(() => writeFileAtomic(file, failing())).toThrow('no more')
    expect(fs.readFileSync(file, 'utf8')).toBe('old')
    expect(fs.readdirSync(directory)).toEqual(['file'])
  })

  it('is left as it was by a full disk, which is told with the bytes needed and free', () => {
    const file = path.join(directory, 'file')
    fs.writeFileSync(file, 'old')
    fillDiskAfter(1000)
    const error = caught(() => writeFileAtomic(file, [Buffer.alloc(800), Buffer.alloc(1_200_000)]))
    expect(error.code).toBe('DISK_FULL')
    expect(error.exitCode).toBe(1)
    expect(error.message).toMatch(/needs 1\.2 MB \(1,200,800 bytes\)/)
    expect(error.message).toMatch(/bytes\) are free/)
    expect(error.message).toContain(file)
    expect(fs.readFileSync(file, 'utf8')).toBe('old')
    expect(fs.readdirSync(directory)).toEqual(['file'])
  })

  it('is written through a symbolic link', () => {
    fs.writeFileSync(path.join(directory, 'real'), 'old')
    fs.symlinkSync('real', path.join(directory, 'link'))
    writeFileAtomic(path.join(directory, 'link'), 'new')
    expect(fs.readFileSync(path.join(directory, 'real'), 'utf8')).toBe('new')
    expect(fs.lstatSync(path.join(directory, 'link')).isSymbolicLink()).toBe(true)
  })

  it('does not replace a device or a directory', () => {
    expect(caught(() => writeFileAtomic('/dev/null', 'x')).code).toBe('NOT_A_FILE')
    expect(caught(() => writeFileAtomic(directory, 'x')).code).toBe('NOT_A_FILE')
    fs.writeFileSync(path.join(directory, 'file'), 'x')
    expect(caught(() => writeFileAtomic(path.join(directory, 'file/below'), 'x')).code).toBe(
      'NOT_A_DIRECTORY',
    )
  })
})

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
    ['a directory', (to: string) => writeDirectoryAtomic(to, () => {})],
  ])('so does writing %s there', (_, write) => {
    expect(caught(() => write('/proc/flicker/out')).code).toBe('DIRECTORY_REFUSED')
  })

  it.each([
    ['createDirectory', createDirectory],
    ['writeFileAtomic', (to: string) => writeFileAtomic(to, 'x')],
    ['writeDirectoryAtomic', (to: string) => writeDirectoryAtomic(to, () => {})],
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

describe('a directory', () => {
  const contentOf = (dir: string) =>
    Object.fromEntries(fs.readdirSync(dir).map(name => [name, fs.readFileSync(path.join(dir, name), 'utf8')]))
  const writing = (target: string, value: string) => () =>
    writeDirectoryAtomic(target, temporary => {
      fs.writeFileSync(path.join(temporary, 'one'), value)
      fs.writeFileSync(path.join(temporary, value), value)
    })

  it('is replaced as a whole', () => {
    const target = path.join(directory, 'parent/target')
    writing(target, 'old')()
    writing(target, 'new')()
    expect(contentOf(target)).toEqual({ one: 'new', new: 'new' })
    expect(fs.readdirSync(path.dirname(target))).toEqual(['target'])
  })

  it('is old or new when the process is killed within any call, and the next write mends it', () => {
    const target = path.join(directory, 'target')
    let calls = 0
    for (let finished = false; !finished; calls++) {
      fs.rmSync(directory, { recursive: true })
      writing(target, 'old')()
      finished = runKilledAfter(calls, writing(target, 'new'))
      const found = resolveDirectory(target)
      expect([
        { one: 'old', old: 'old' },
        { one: 'new', new: 'new' },
      ]).toContainEqual(contentOf(found!))
      writing(target, 'next')()
      expect(contentOf(target)).toEqual({ one: 'next', next: 'next' })
    }
    expect(calls).toBeGreaterThan(8)
  })

  it('that stepped aside for a writer who was killed is found, and put back by the next writer', () => {
    const target = path.join(directory, 'target')
    const aside = path.join(directory, `.target.old-${deadPid}-1`)
    writing(aside, 'old')()
    expect(resolveDirectory(target)).toBe(aside)
    expect(() =>
      writeDirectoryAtomic(target, () => {
        throw new Error('nothing to write')
      }),
    ).toThrow('nothing to write')
    expect(contentOf(target)).toEqual({ one: 'old', old: 'old' })
    expect(fs.readdirSync(directory)).toEqual(['target'])
  })

  it('that cannot be written leaves the old one and no temporary', () => {
    const target = path.join(directory, 'target')
    writing(target, 'old')()
    const renameSync = fs.renameSync
    vi.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
      if (to === target && String(from).includes('.tmp-')) throw systemError('EIO', -5)
      renameSync(from, to)
    })
    expect(caught(writing(target, 'new')).code).toBe('STORAGE_FAILED')
    expect(contentOf(target)).toEqual({ one: 'old', old: 'old' })
    expect(fs.readdirSync(directory)).toEqual(['target'])
  })

  it('does not replace a file', () => {
    const target = path.join(directory, 'file')
    fs.writeFileSync(target, 'precious')
    expect(caught(writing(target, 'new')).code).toBe('NOT_A_DIRECTORY')
    expect(fs.readFileSync(target, 'utf8')).toBe('precious')
  })
})

describe('temporaries', () => {
  it('of processes that are gone are swept at the next write, those of living ones stay', () => {
    fs.writeFileSync(path.join(directory, `.model.tmp-${deadPid}-1`), 'half')
    fs.mkdirSync(path.join(directory, `.checkpoint-7.tmp-${deadPid}-2/deep`), { recursive: true })
    fs.mkdirSync(path.join(directory, 'there'))
    fs.mkdirSync(path.join(directory, `.there.old-${deadPid}-3`))
    const living = `.model.tmp-${process.ppid}-1`
    const own = `.model.tmp-${process.pid}-1000`
    for (const name of [living, own, '.model.tmp-notes', '.hidden']) {
      fs.writeFileSync(path.join(directory, name), 'x')
    }
    writeFileAtomic(path.join(directory, 'file'), 'x')
    const kept = ['.hidden', living, own, '.model.tmp-notes', 'file', 'there']
    expect(fs.readdirSync(directory).sort()).toEqual(kept.sort())
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
