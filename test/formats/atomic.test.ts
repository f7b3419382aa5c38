// Atomic writes: what is there before, during and after, and what the user is told when the system refuses.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StorageError } from '../../src/errors.js'
import {
  contentFile,
  type DirectoryFile,
  resolveDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../../src/formats/atomic.js'
import { createDirectory, storageError } from '../../src/formats/storage.js'
import { thisOwner } from '../../src/formats/temporaries.js'
import { fillDiskAfter, runKilledAfter, systemError } from './disk-faults.js'
import { temporaryDirectory } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let directory = ''
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(root, 'case-'))
})
afterEach(() => vi.restoreAllMocks())

const [space, pid36, start] = thisOwner().split('.')
/** A process that has ended, of this host and this namespace of process ids: whatever carries its id is stale. */
const deadPid = spawnSync('true').pid
const dead = `${space}.${deadPid.toString(36)}.1`
/** A process of another host or container: nothing can be said about it from here. */
const foreign = `0123456789.${deadPid.toString(36)}.1`
const day = 24 * 3600 * 1000

function failingFile(message: string): DirectoryFile {
  return {
    name: 'failing',
    bytes: 1,
    write() {
      throw new Error(message)
    },
  }
}

/** From now on everything whose path contains `part` last changed `milliseconds` ago. */
function lastChanged(part: string, milliseconds: number): void {
  const { lstatSync } = fs
  vi.spyOn(fs, 'lstatSync').mockImplementation(((file: string, options: fs.StatSyncOptions) => {
    const stat = lstatSync(file, options)
    if (stat !== undefined && file.includes(part)) Object.assign(stat, { ctimeMs: Date.now() - milliseconds })
    return stat
  }) as typeof fs.lstatSync)
}

function caught(action: () => void): StorageError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(StorageError)
    return error as StorageError
  }
  throw new Error('nothing was thrown')
}

function distUrl(file: string): string {
  return new URL(`../../dist/${file}`, import.meta.url).href
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

describe('a directory', () => {
  const contentOf = (dir: string) =>
    Object.fromEntries(fs.readdirSync(dir).map(name => [name, fs.readFileSync(path.join(dir, name), 'utf8')]))
  const writing = (target: string, value: string) => () =>
    writeDirectoryAtomic(target, [contentFile('one', value), contentFile(value, value)])

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
    const aside = path.join(directory, `.target.old-${dead}-0_1`)
    writing(aside, 'old')()
    expect(resolveDirectory(target)).toBe(aside)
    expect(() => writeDirectoryAtomic(target, [failingFile('nothing to write')])).toThrow('nothing to write')
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
  it('of processes that are gone are swept at the next write', () => {
    fs.writeFileSync(path.join(directory, `.model.tmp-${dead}-0_1`), 'half')
    fs.mkdirSync(path.join(directory, `.checkpoint-7.tmp-${dead}-0_2/deep`), { recursive: true })
    fs.mkdirSync(path.join(directory, 'there'))
    fs.mkdirSync(path.join(directory, `.there.old-${dead}-0_3`))
    fs.mkdirSync(path.join(directory, `.aside.old-${dead}-0_4`))
    writeFileAtomic(path.join(directory, 'file'), 'x')
    expect(fs.readdirSync(directory).sort()).toEqual(['aside', 'file', 'there'])
  })

  it('of a process whose id another one has now are swept', () => {
    // This process has the id, but did not start then.
    fs.writeFileSync(path.join(directory, `.model.tmp-${space}.${pid36}.1-0_1`), 'half')
    writeFileAtomic(path.join(directory, 'file'), 'x')
    expect(fs.readdirSync(directory)).toEqual(['file'])
  })

  it.each(['this process', 'another process'])('of %s stay while it lives, however old they are', which => {
    const child = spawn('sleep', ['60'])
    const owner =
      which === 'this process' ? `${space}.${pid36}.${start}` : `${space}.${child.pid!.toString(36)}.x`
    const living = `.model.tmp-${owner}-9_9`
    try {
      fs.writeFileSync(path.join(directory, living), 'x')
      lastChanged(living, 100 * day)
      writeFileAtomic(path.join(directory, 'file'), 'x')
      expect(fs.readdirSync(directory)).toEqual([living, 'file'])
    } finally {
      child.kill()
    }
  })

  it.each([
    ['another host or container', `.model.tmp-${foreign}-0_1`],
    ['another host or container, set aside', `.model.old-${foreign}-0_1`],
    ['an earlier version, which says nothing about its process', `.model.tmp-${deadPid}-1`],
  ])('of %s stay until nothing in them has changed for a day', (_, name) => {
    fs.mkdirSync(path.join(directory, 'model'))
    fs.mkdirSync(path.join(directory, name, 'deep'), { recursive: true })
    lastChanged(`${name}${path.sep}deep`, day - 60_000)
    writeFileAtomic(path.join(directory, 'file'), 'x')
    expect(fs.readdirSync(directory).sort()).toEqual([name, 'file', 'model'])
    vi.restoreAllMocks()
    lastChanged(name, day + 60_000)
    writeFileAtomic(path.join(directory, 'file'), 'y')
    expect(fs.readdirSync(directory).sort()).toEqual(['file', 'model'])
  })

  it('are told from other hidden files by their whole name', () => {
    const others = [
      '.model.tmp-notes',
      '.hidden',
      '.model.old-2-backup',
      `.model.tmp-${dead}`,
      'model.tmp-1-1',
    ]
    for (const name of others) fs.writeFileSync(path.join(directory, name), 'x')
    lastChanged(directory, 100 * day)
    writeFileAtomic(path.join(directory, 'file'), 'x')
    expect(fs.readdirSync(directory).sort()).toEqual([...others, 'file'].sort())
  })
})

describe('a writer whose files another program removes meanwhile', () => {
  const target = () => path.join(directory, 'model')
  const old = () =>
    writeDirectoryAtomic(target(), [contentFile('config.json', 'old'), contentFile('weights', 'old')])
  const expectOld = () => {
    expect(fs.readdirSync(directory)).toEqual(['model'])
    expect(fs.readFileSync(path.join(target(), 'config.json'), 'utf8')).toBe('old')
    expect(fs.readFileSync(path.join(target(), 'weights'), 'utf8')).toBe('old')
  }
  /** A second file, before which `removing` acts on the temporary directory. */
  const removingWrite = (removing: (temporary: string) => void) => () =>
    writeDirectoryAtomic(target(), [
      contentFile('config.json', 'new'),
      {
        ...contentFile('weights', 'new'),
        write(file) {
          removing(path.dirname(file))
          contentFile('weights', 'new').write(file)
        },
      },
    ])

  it.each([
    ['one file', (temporary: string) => fs.rmSync(path.join(temporary, 'config.json'))],
    ['a part of one', (temporary: string) => fs.truncateSync(path.join(temporary, 'config.json'), 2)],
    ['the directory', (temporary: string) => fs.rmSync(temporary, { recursive: true })],
    [
      'the directory, and made it again',
      (temporary: string) => {
        fs.rmSync(temporary, { recursive: true })
        fs.mkdirSync(temporary)
      },
    ],
  ])('fails, and what was there before stays: %s', (_, removing) => {
    old()
    const error = caught(removingWrite(removing))
    expect(error).toMatchObject({ code: 'WRITE_LOST', exitCode: 1 })
    expect(error.message).toContain('what was there before is untouched')
    expectOld()
  })

  it.each(['before', 'after'])('just %s the rename: what was there before comes back', when => {
    old()
    const { renameSync } = fs
    vi.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
      const isNew = to === target() && String(from).includes('.tmp-')
      if (isNew && when === 'before') fs.rmSync(path.join(String(from), 'config.json'))
      renameSync(from, to)
      if (isNew && when === 'after') fs.rmSync(path.join(target(), 'weights'))
    })
    const error = caught(() =>
      writeDirectoryAtomic(target(), [contentFile('config.json', 'new'), contentFile('weights', 'new')]),
    )
    expect(error.code).toBe('WRITE_LOST')
    vi.restoreAllMocks()
    expectOld()
  })

  it('of a single file fails, and what was there before stays', () => {
    const file = path.join(directory, 'file')
    fs.writeFileSync(file, 'old')
    const pieces = function* () {
      yield 'ne'
      for (const name of fs.readdirSync(directory))
        if (name.includes('.tmp-')) fs.rmSync(path.join(directory, name))
      yield 'w'
    }
    expect(caught(() => writeFileAtomic(file, pieces())).code).toBe('WRITE_LOST')
    expect(fs.readFileSync(file, 'utf8')).toBe('old')
  })
})

describe('two writers of one directory', () => {
  it('where the second finishes first: the first replaces it whole', () => {
    const target = path.join(directory, 'model')
    const second = () => writeDirectoryAtomic(target, [contentFile('second', '2')])
    const slow = contentFile('first', '1')
    writeDirectoryAtomic(target, [
      {
        ...slow,
        write(file) {
          second()
          slow.write(file)
        },
      },
    ])
    expect(fs.readdirSync(target)).toEqual(['first'])
    expect(fs.readdirSync(directory)).toEqual(['model'])
  })

  it('where the second comes between the two renames of the first: the first is told, and the second stays', () => {
    const target = path.join(directory, 'model')
    writeDirectoryAtomic(target, [contentFile('old', '0')])
    const { renameSync } = fs
    let isFirst = true
    vi.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
      renameSync(from, to)
      if (!isFirst) return
      isFirst = false
      writeDirectoryAtomic(target, [contentFile('second', '2')])
    })
    const error = caught(() => writeDirectoryAtomic(target, [contentFile('first', '1')]))
    vi.restoreAllMocks()
    expect(error).toMatchObject({ code: 'WRITTEN_MEANWHILE', exitCode: 1 })
    expect(fs.readdirSync(target)).toEqual(['second'])
  })
})

const unshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0

describe('a writer in another namespace of process ids (a container) at the same directory', () => {
  // Says so when it is skipped: it needs Linux and the right to make namespaces.
  it.skipIf(!unshare)('does not remove what a living writer has written so far', () => {
    const other = path.join(directory, 'other')
    const program =
      `const { writeFileAtomic } = await import(${JSON.stringify(distUrl('formats/atomic.js'))});` +
      `writeFileAtomic(${JSON.stringify(other)}, 'x')`
    writeDirectoryAtomic(path.join(directory, 'model'), [
      contentFile('config.json', 'new'),
      {
        ...contentFile('weights', 'new'),
        write(file) {
          const node = [process.execPath, '--input-type=module', '-e', program]
          execFileSync('unshare', ['--pid', '--fork', '--mount-proc', ...node])
          expect(fs.readFileSync(other, 'utf8')).toBe('x')
          contentFile('weights', 'new').write(file)
        },
      },
    ])
    expect(fs.readdirSync(path.join(directory, 'model')).sort()).toEqual(['config.json', 'weights'])
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
