// The programs in examples/ run as their first line says, on a model that the first of them trains.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'

const work = mkdtempSync(path.join(tmpdir(), 'flicker-examples-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))
mkdirSync(path.join(work, 'node_modules'))
symlinkSync(process.cwd(), path.join(work, 'node_modules', 'flicker-lm'), 'dir')
for (const name of ['examples', 'README.md']) cpSync(name, path.join(work, name), { recursive: true })

const first = 'train-and-generate.mjs'
const others = readdirSync('examples').filter(name => name.endsWith('.mjs') && name !== first)

it.each([first, ...others])('examples/%s runs', name => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join('examples', name)], {
    cwd: work,
    encoding: 'utf8',
  })
  expect(status, stderr).toBe(0)
  expect(stdout.trim()).not.toBe('')
  expect(stdout).not.toMatch(/NaN|undefined/)
})
