// Where the native addon comes from, and what is said without one. The built package is copied to places of which each
// looks like one installation, and asked there.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { contractDigest } from '../../src/kernels/native/signatures.js'
import { temporaryDirectory } from '../train/tiny-run.js'

const addon = resolve('build/flicker.node')
const prebuilt = `@flicker-lm/${process.platform}-${process.arch}`
const version = (await import('../../package.json', { with: { type: 'json' } })).default.version

/** A copy of the built package without native code: in a clone, or as an installed dependency. */
function place(kind: 'clone' | 'installed'): string {
  const root = join(temporaryDirectory(), ...(kind === 'clone' ? ['clone'] : ['node_modules', 'flicker-lm']))
  mkdirSync(root, { recursive: true })
  for (const name of ['dist', 'package.json', 'recipes'])
    cpSync(resolve(name), join(root, name), { recursive: true })
  mkdirSync(join(root, 'node_modules'))
  for (const name of readdirSync('node_modules')) {
    symlinkSync(resolve('node_modules', name), join(root, 'node_modules', name))
  }
  writeFileSync(join(root, 'corpus.txt'), Array.from({ length: 200 }, (_, i) => `line ${i}`).join('\n'))
  return root
}

function addPrebuilt(root: string, of: string): void {
  const folder = join(root, 'node_modules', ...prebuilt.split('/'))
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: prebuilt, version: of, main: 'flicker.node' }),
  )
  copyFileSync(addon, join(folder, 'flicker.node'))
}

function flicker(root: string, args: string[], env: Record<string, string> = {}) {
  const inherited = { ...process.env, FLICKER_BACKEND: '', FLICKER_ISA: '', FLICKER_NATIVE: '' }
  const options = { cwd: root, encoding: 'utf8', env: { ...inherited, ...env } } as const
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'dist/cli/main.js'), ...args],
    options,
  )
  return { status, stdout, stderr }
}

const tiny =
  '--corpus corpus.txt --tokenizer bytes --steps 2 --hidden-size 8 --intermediate-size 8 --num-hidden-layers 1 ' +
  '--num-attention-heads 1 --batch-size 2 --context 8 --eval-every 1 --eval-tokens 16 --warmup-steps 1'
const train = ['train', '--out', 'run', ...tiny.split(' ')]
const warnings = (stderr: string) => stderr.match(/no native kernels/g)?.length ?? 0

describe('without native code', () => {
  it('train and generate say so once, with the command for a clone; info and FLICKER_BACKEND=portable do not', () => {
    const root = place('clone')
    const trained = flicker(root, train)
    expect(trained.status, trained.stderr).toBe(0)
    expect(warnings(trained.stderr)).toBe(1)
    expect(trained.stderr).toContain('none were built')
    expect(trained.stderr).toContain('run: npm run build:native')
    const generated = flicker(root, ['generate', '--model', 'run', '--prompt', 'l', '--max-tokens', '2'])
    expect(generated.status, generated.stderr).toBe(0)
    expect(warnings(generated.stderr)).toBe(1)
    expect(warnings(flicker(root, ['info']).stderr)).toBe(0)
    const chosen = flicker(root, [...train, '--out', 'other'], { FLICKER_BACKEND: 'portable' })
    expect(chosen.status, chosen.stderr).toBe(0)
    expect(warnings(chosen.stderr)).toBe(0)
  })

  it('tells a user of the package a command that the package has', () => {
    const { stderr } = flicker(place('installed'), train)
    expect(stderr).toContain('run: npm rebuild flicker-lm')
  })

  it('FLICKER_BACKEND=native is refused', () => {
    const { status, stderr } = flicker(place('clone'), ['info'], { FLICKER_BACKEND: 'native' })
    expect(status).toBe(2)
    expect(stderr).toContain('none were built')
  })
})

describe('an addon that is there but does not load', () => {
  it('is named with the reason, and the portable backend works on', () => {
    const root = place('clone')
    mkdirSync(join(root, 'build'))
    writeFileSync(join(root, 'build/flicker.node'), 'no shared library')
    const { status, stderr } = flicker(root, train)
    expect(status, stderr).toBe(0)
    expect(warnings(stderr)).toBe(1)
    expect(stderr).toContain(`${join('build', 'flicker.node')} does not load: `)
  })

  it.skipIf(!existsSync(addon))(
    'or was compiled from other sources, is named with the command to run',
    () => {
      const root = place('clone')
      mkdirSync(join(root, 'build'))
      const bytes = readFileSync(addon)
      const at = bytes.indexOf(contractDigest)
      expect(at).toBeGreaterThan(0)
      bytes.write('0123456789abcdef', at)
      writeFileSync(join(root, 'build/flicker.node'), bytes)
      const { status, stderr } = flicker(root, train)
      expect(status, stderr).toBe(0)
      expect(warnings(stderr)).toBe(1)
      expect(stderr).toMatch(/was compiled from other sources than this code.* run: npm run build:native/)
    },
  )

  it('is an error when FLICKER_NATIVE names it', () => {
    const root = place('clone')
    writeFileSync(join(root, 'broken.node'), '')
    for (const [named, reason] of [
      ['broken.node', 'does not load'],
      ['absent.node', 'there is no file'],
    ]) {
      const { status, stderr } = flicker(root, ['info'], { FLICKER_NATIVE: named })
      expect(status, named).toBe(2)
      expect(stderr).toContain(reason)
      expect(stderr).toContain(named)
    }
  })
})

describe.skipIf(!existsSync(addon))('the prebuilt package of this platform', () => {
  it('is found without an install script, before the local build', () => {
    const root = place('clone')
    addPrebuilt(root, version)
    mkdirSync(join(root, 'build'))
    writeFileSync(join(root, 'build/flicker.node'), 'no shared library')
    const { status, stdout, stderr } = flicker(root, ['info', '--json'])
    expect(status, stderr).toBe(0)
    expect(JSON.parse(stdout).backend).toBe('native')
  })

  it('of another version is not used, and the reason is told', () => {
    const root = place('clone')
    addPrebuilt(root, '0.0.1')
    const { stderr } = flicker(root, train)
    expect(stderr).toContain(`${prebuilt} is of version 0.0.1, flicker-lm of ${version}`)
  })
})
