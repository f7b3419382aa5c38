// One process trains in a directory at a time, whatever became of the one before.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { thisOwner } from '../../src/formats/temporaries.js'
import { train } from '../../src/train/index.js'
import { RunLock } from '../../src/train/run-lock.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

const lockOf = (directory: string) => path.join(directory, 'train.lock')

/** A lock as this process would leave it, with some of its fields changed. */
function leaveLock(directory: string, changes: Record<string, unknown>): void {
  const lock = RunLock.acquire(directory)
  const content = JSON.parse(fs.readFileSync(lockOf(directory), 'utf8'))
  lock.release()
  fs.writeFileSync(lockOf(directory), JSON.stringify({ ...content, ...changes }))
}

/** The id of a process that has ended. */
function goneProcess(): number {
  return spawnSync(process.execPath, ['-e', '']).pid
}

/** This process's name with another process id. */
function withPid(pid: number): string {
  return thisOwner().replace(/\..*\./, `.${pid.toString(36)}.`)
}

function makeOlder(file: string, seconds: number): void {
  const time = Date.now() / 1000 - seconds
  fs.utimesSync(file, time, time)
}

describe('the lock of a run', () => {
  it('lets one training have the directory: another one is told so, and the first is undisturbed', async () => {
    const directory = temporaryDirectory()
    const first = train(tinyRun(directory))
    const error = { code: 'RUN_LOCKED', exitCode: 2 }
    await expect(train(tinyRun(directory))).rejects.toMatchObject(error)
    await expect(train(tinyRun(directory, { fresh: true }))).rejects.toThrow(
      `${directory} is in use: process ${process.pid} on `,
    )
    await first
    const lines = fs.readFileSync(path.join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n')
    const steps = lines.map(line => JSON.parse(line)).filter(({ kind }) => kind === 'step')
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1))
    expect(fs.readdirSync(directory).sort()).toEqual(['checkpoint-24', 'metrics.jsonl', 'options.json'])
  })

  it('is released when training fails', async () => {
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, 'options.json'), 'damaged')
    await expect(train(tinyRun(directory))).rejects.toMatchObject({ code: 'RUN_OPTIONS_INVALID' })
    expect(fs.readdirSync(directory)).toEqual(['options.json'])
  })

  it('of a process that is gone is taken over at once', () => {
    const directory = temporaryDirectory()
    leaveLock(directory, { owner: withPid(goneProcess()) })
    const lock = RunLock.acquire(directory)
    lock.confirm()
    lock.release()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it.skipIf(process.platform !== 'linux')('of a process whose id another one has now is taken over', () => {
    const directory = temporaryDirectory()
    leaveLock(directory, { owner: withPid(process.ppid) })
    RunLock.acquire(directory).release()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it.each([
    [
      'on another machine or in another container',
      () => ({ owner: `0123456789.${goneProcess().toString(36)}.x` }),
    ],
    ['of an unknown kind', () => ({ owner: 7 })],
  ])('of a process %s counts while it is renewed, and not long after', (_, changes) => {
    const directory = temporaryDirectory()
    leaveLock(directory, changes())
    makeOlder(lockOf(directory), 60)
    expect(() => RunLock.acquire(directory)).toThrow(/last active (59|60|61|62) s ago.*remove .*train\.lock/)
    makeOlder(lockOf(directory), 3600)
    RunLock.acquire(directory).release()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it('that was taken over stops its former owner before it saves, and is not its to remove', () => {
    const directory = temporaryDirectory()
    const former = RunLock.acquire(directory)
    former.confirm()
    const content = JSON.parse(fs.readFileSync(lockOf(directory), 'utf8'))
    fs.writeFileSync(lockOf(directory), JSON.stringify({ ...content, owner: '0123456789.1.x' }))
    makeOlder(lockOf(directory), 3600)
    const present = RunLock.acquire(directory)
    expect(() => former.confirm()).toThrow(expect.objectContaining({ code: 'RUN_LOCK_LOST', exitCode: 1 }))
    former.release()
    present.confirm()
    present.release()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it('is renewed by its owner', () => {
    const directory = temporaryDirectory()
    const lock = RunLock.acquire(directory)
    makeOlder(lockOf(directory), 3600)
    lock.confirm()
    expect(Date.now() - fs.statSync(lockOf(directory)).mtimeMs).toBeLessThan(600_000)
    lock.release()
  })
})
