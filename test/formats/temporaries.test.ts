// What writers that were killed leave behind, and what other writers may remove of it.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { contentFile, writeDirectoryAtomic, writeFileAtomic } from '../../src/formats/atomic.js'
import { dead, deadPid, directory, pid36, space, start } from './storage-cases.js'

/** A process of another host or container: nothing can be said about it from here. */
const foreign = `0123456789.${deadPid.toString(36)}.1`
const day = 24 * 3600 * 1000

/** From now on everything whose path contains `part` last changed `milliseconds` ago. */
function lastChanged(part: string, milliseconds: number): void {
  const { lstatSync } = fs
  vi.spyOn(fs, 'lstatSync').mockImplementation(((file: string, options: fs.StatSyncOptions) => {
    const stat = lstatSync(file, options)
    if (stat !== undefined && file.includes(part)) Object.assign(stat, { ctimeMs: Date.now() - milliseconds })
    return stat
  }) as typeof fs.lstatSync)
}

function distUrl(file: string): string {
  return new URL(`../../dist/${file}`, import.meta.url).href
}

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
