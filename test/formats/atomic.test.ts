// Atomic writes: what is there before, during and after.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import {
  contentFile,
  type DirectoryFile,
  resolveDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../../src/formats/atomic.js'
import { fillDiskAfter, runKilledAfter, systemError } from './disk-faults.js'
import { caught, dead, directory } from './storage-cases.js'

function failingFile(message: string): DirectoryFile {
  return {
    name: 'failing',
    bytes: 1,
    write() {
      throw new Error(message)
    },
  }
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
