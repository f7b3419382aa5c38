// Programs of others: what they may do and what they must not, in each of the ways that this system can contain them.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { bestIsolation, type Isolation, isolated } from '../../../src/eval/code/isolation.js'
import { CODE_LIMITS, type CodeLanguage } from '../../../src/eval/code/limits.js'
import { CodeRunner } from '../../../src/eval/code/run-program.js'

const hasPython = spawnSync('python3', ['-c', 'import sys; assert sys.version_info >= (3, 8)']).status === 0
const isolations: Isolation[] = bestIsolation() === 'namespaces' ? ['namespaces', 'limits'] : ['limits']

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-programs-'))
const outside = path.join(temporary, 'outside')
let connections = 0
const server = net.createServer(socket => {
  connections++
  socket.destroy()
})
let port = 0

beforeAll(async () => {
  vi.stubEnv('TMPDIR', temporary)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.close()
  vi.unstubAllEnvs()
  fs.rmSync(temporary, { recursive: true })
})

function runner(language: CodeLanguage, isolation: Isolation): CodeRunner {
  return new CodeRunner(new Map([[language, 'a task']]), {
    isolation,
    // A loaded machine takes its time.
    limits: { cpuSeconds: 1, seconds: 20 },
  })
}

describe.skipIf(!hasPython).each(isolations)('Python, contained by %s', isolation => {
  const run = (source: string) => runner('python', isolation).run('python', source)
  const all = (sources: string[]) => runner('python', isolation).runAll('python', sources)

  it('passes when it ends without an error, and not before its end', async () => {
    const programs = {
      'import re, math, heapq, typing, collections, random\nassert math.gcd(12, 18) == 6': 'passed',
      'print("x" * 1000)': 'passed',
      'assert 1 == 2': 'failed: AssertionError',
      undefined_name: "failed: NameError: name 'undefined_name' is not defined",
      'def f(:': expect.stringContaining('SyntaxError'),
      'import sys; sys.exit(0)': 'failed: SystemExit: 0',
      'import os; os._exit(0)': 'failed: ended with 0',
      'input()': expect.stringContaining('EOFError'),
    }
    const outcomes = await runner('python', isolation).runAll('python', Object.keys(programs))
    expect(outcomes).toEqual(Object.values(programs))
  })

  it('that loops or sleeps is ended', async () => {
    const kept = 'try:\n  while True: pass\nexcept BaseException:\n  pass\n'
    const slow = new CodeRunner(new Map([['python', 'a task']]), { isolation, limits: { seconds: 1 } })
    const ended = [run(kept), slow.run('python', 'import time\ntime.sleep(60)')]
    expect(await Promise.all(ended)).toEqual(['timeout', 'timeout'])
  })

  it('starts no process, sends no signal, loads no foreign code', async () => {
    const attempts = [
      'import os\nwhile True: os.fork()',
      'import subprocess\nsubprocess.run(["sleep", "60"])',
      'import os\nos.system("sleep 60")',
      'import os\nos.posix_spawn("/bin/sleep", ["sleep", "60"], {})',
      'import os\nos.kill(os.getppid(), 9)',
      `import os\nos.kill(${process.pid}, 9)`,
      'import ctypes',
    ]
    const refused = attempts.map(() => expect.stringMatching(/^failed: PermissionError: not allowed here: /))
    expect(await all(attempts)).toEqual(refused)
  })

  it('writes few small files in its own directory, which is gone afterwards, and reads nothing of others', async () => {
    const many = 'i = 0\nwhile True:\n  i += 1\n  open(f"f{i}", "w").write("x" * 1000)'
    const large = 'open("large", "wb").write(bytes(2 ** 26))'
    const small = 'open("a", "w").write("x")\nassert open("a").read() == "x"'
    expect(await all([many, large, small])).toEqual([
      expect.stringMatching(/^failed: PermissionError: not allowed here: writing /),
      expect.stringMatching(/^failed: OSError: .*File too large/),
      'passed',
    ])
    const place = JSON.stringify(outside)
    const attempts = [
      `open(${place}, "w")`,
      `import os\nos.open(${place}, os.O_CREAT | os.O_WRONLY)`,
      `import os\nos.symlink("/", "root")`,
      `import os\nos.remove(${JSON.stringify(import.meta.filename)})`,
      `open(${JSON.stringify(import.meta.filename)})`,
    ]
    const refused = attempts.map(() => expect.stringMatching(/^failed: PermissionError/))
    expect(await all(attempts)).toEqual(refused)
    expect(fs.readdirSync(temporary)).toEqual([])
  })

  it('gets no more memory than it may, and is ended when it prints without end', async () => {
    const endless = 'while True: print("x" * 1000)'
    expect(await all(['x = bytearray(2 ** 33)', endless])).toEqual(['failed: MemoryError', 'output'])
  })

  it('reaches no network', async () => {
    const attempt = `import socket\nsocket.create_connection(("127.0.0.1", ${port}))`
    expect(await run(attempt)).toMatch(/^failed: PermissionError: not allowed here: socket/)
    expect(connections).toBe(0)
  })
})

describe.each(isolations)('JavaScript, contained by %s', isolation => {
  const run = (source: string) => runner('javascript', isolation).run('javascript', source)

  it('passes when every assertion holds', async () => {
    const programs = {
      'const f = x => x + 1\nconsole.log(f(1))\nconsole.assert(f(1) === 2)': 'passed',
      'console.assert(1 === 2)': 'failed: Error: assertion failed',
      'const f = (': expect.stringContaining('SyntaxError'),
      'missing()': 'failed: ReferenceError: missing is not defined',
    }
    const outcomes = await runner('javascript', isolation).runAll('javascript', Object.keys(programs))
    expect(outcomes).toEqual(Object.values(programs))
  })

  it('that loops or waits is ended', async () => {
    const waiting = new CodeRunner(new Map([['javascript', 'a task']]), { isolation, limits: { seconds: 1 } })
    const forever = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'
    const ended = [run('for (;;);'), waiting.run('javascript', forever)]
    expect(await Promise.all(ended)).toEqual(['timeout', 'timeout'])
  })

  it('has nothing of Node: no process, no module, no network', async () => {
    const absent = ['process', 'require', 'module', 'fetch', 'WebSocket', 'Buffer', 'setTimeout', 'global']
    const names = absent.map(name => `typeof ${name}`).join(', ')
    const reached = ['console.assert', 'console.log', 'Object', 'globalThis'].map(
      value => `${value}.constructor.constructor('return typeof process')()`,
    )
    expect(
      await run(`if (new Set([${[names, ...reached].join(', ')}]).size !== 1) throw new Error('reached')`),
    ).toBe('passed')
    // The known way out of a context is an error of another realm, which a failed import gives: it comes too late.
    const wayOut = (then: string) =>
      `import('node:fs').catch(error => error.constructor.constructor(${JSON.stringify(then)})())\n`
    const connect = wayOut(`import('node:net').then(net => net.connect(${port}, '127.0.0.1'))`)
    const kill = wayOut(`process.kill(${process.pid}, 'SIGKILL')`)
    expect(
      await runner('javascript', isolation).runAll('javascript', [connect, `${connect}throw 1`, kill]),
    ).toEqual(['passed', 'failed: 1', 'passed'])
    expect(connections).toBe(0)
  })

  it('gets no more memory than it may', async () => {
    const larger = runner('javascript', isolation)
    const outcomes = await larger.runAll('javascript', [
      'const kept = []; for (;;) kept.push(new Array(1e5).fill(kept.length))',
      'const kept = []; for (;;) kept.push(new Uint8Array(1e8).fill(1))',
    ])
    for (const outcome of outcomes) expect(outcome).toMatch(/^(failed: |timeout)/)
  })
})

describe.skipIf(bestIsolation() !== 'namespaces')('namespaces, whatever the program', () => {
  const inside = (script: string, directory: string) => {
    const { command, args } = isolated(['sh', '-c', script], 'namespaces', CODE_LIMITS, 'data')
    const { stdout } = spawnSync(command, args, { cwd: directory, encoding: 'utf8', timeout: 20_000 })
    return stdout.trim()
  }

  it('see no other process, no network, and a small directory in memory', () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-ns-'))
    try {
      expect(inside(`kill -0 $process.pid2>/dev/null && echo there || echo none`, directory)).toBe('none')
      const connect = `require('net').connect(${port}, '127.0.0.1').on('connect', () => { console.log('connected'); process.exit() }).on('error', error => console.log(error.code))`
      const code = inside(`"${process.execPath}" -e "${connect}"`, directory)
      expect(code).toMatch(/^E/)
      expect(connections).toBe(0)
      // 64 MB in files of 4 MB at most.
      const full = 'i=0; while head -c 4000000 /dev/zero > "f$i" 2>/dev/null; do i=$((i + 1)); done; echo $i'
      expect(Number(inside(full, directory))).toBe(Math.floor(2 ** 26 / 4_001_792))
      expect(fs.readdirSync(directory)).toEqual([])
    } finally {
      fs.rmSync(directory, { recursive: true })
    }
  })
})

it('an interruption ends the programs and is what the caller gets', async () => {
  const controller = new AbortController()
  const running = runner('javascript', 'limits').run('javascript', 'for (;;);', controller.signal)
  setTimeout(() => controller.abort(new Error('stopped')), 100)
  await expect(running).rejects.toThrow('stopped')
})

it('without python3 says what is missing', () => {
  const { PATH = '' } = process.env
  vi.stubEnv('PATH', '')
  try {
    expect(() => new CodeRunner(new Map([['python', 'humaneval']]))).toThrow(
      /humaneval runs Python programs, and there is no python3 .*install it, or leave the task out/,
    )
  } finally {
    vi.stubEnv('PATH', PATH)
  }
})
