import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  describeBuild,
  detectInstructionSets,
  digestOf,
  findCompiler,
  instructionSetsOf,
} from '../../scripts/native-sources.mjs'

const compiler = findCompiler()

describe.skipIf(compiler === undefined)('what the native addon is compiled from', () => {
  const build = (isas: string[]) =>
    describeBuild({ compiler: compiler ?? '', platform: 'linux', arch: 'x64', isas })

  it('every C++ file is compiled: kernels once per instruction set, the rest once', () => {
    const { units } = build(['avx512', 'avx2', 'x86-64'])
    const once = units.filter(({ isa }) => isa === '').map(({ file }) => file)
    const files = readdirSync('native').filter(name => name.endsWith('.cc'))
    for (const isa of ['avx512', 'avx2', 'x86-64']) {
      const kernels = units.filter(unit => unit.isa === isa).map(({ file }) => file)
      expect([...once, ...kernels].sort(), isa).toEqual(files.sort())
    }
  })

  it('compiles one instruction set alone when one is wanted, and tells the addon which', () => {
    const { units } = build(['x86-64'])
    expect(new Set(units.map(({ isa }) => isa))).toEqual(new Set(['x86-64', '']))
    const shared = units.find(({ file }) => file === 'cpu.cc')
    expect(shared?.flags).toContain('-DFLICKER_COMPILED(each)=each(x86_64)')
  })

  it('has the same digest whichever instruction sets are compiled, and another with other flags', () => {
    const digest = digestOf(build(['avx2']))
    expect(digestOf(build(['avx512', 'avx2']))).toBe(digest)
    const other = describeBuild({
      compiler: compiler ?? '',
      platform: 'linux',
      arch: 'x64',
      isas: ['avx2'],
      kind: 'debug',
    })
    expect(digestOf(other)).not.toBe(digest)
  })

  it.skipIf(process.platform !== 'linux' || process.arch !== 'x64')(
    'detects the instruction sets that /proc/cpuinfo lists',
    () => {
      const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '))
      const has = (...names: string[]) => names.every(name => flags.has(name))
      const expected = [
        ...(has('avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'fma') ? ['avx512'] : []),
        ...(has('avx2', 'fma') ? ['avx2'] : []),
        'x86-64',
      ]
      expect(detectInstructionSets(compiler ?? '', 'x64', tmpdir())).toEqual(expected)
    },
  )

  it('takes every instruction set where the machine cannot be asked', () => {
    expect(detectInstructionSets(join(tmpdir(), 'no-such-compiler'), 'x64', tmpdir())).toEqual(
      instructionSetsOf('x64'),
    )
  })
})
