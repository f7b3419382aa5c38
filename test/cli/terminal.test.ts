// What reaches the terminal: no control characters of foreign files, one short line per error, clear ends of broken streams.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { log, print, printable, printJson, progressBar, reportError } from '../../src/cli/terminal.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { OptionError } from '../../src/errors.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'

const cwd = temporaryDirectory()
const at = (name: string) => path.join(cwd, name)
const cli = path.resolve('dist/cli/main.js')

beforeAll(() => {
  const config = { ...smallConfig, vocabSize: bytesTokenizer().vocabSize, activation: 'relu' }
  const tensors = tensorOf(randomTensors(config, 9))
  writeCheckpoint(at('model'), {
    config,
    tensors: parameterShapes(config).map(({ name, shape }) => ({ name, shape, data: tensors(name) })),
    tokenizer: bytesTokenizer().toJSON(),
  })
})
afterAll(() => fs.rmSync(cwd, { recursive: true }))

/** What `act` writes to stderr and stdout. */
function written(act: () => void): string {
  let text = ''
  const spies = (['stdout', 'stderr'] as const).map(stream =>
    vi.spyOn(process[stream], 'write').mockImplementation(chunk => {
      text += String(chunk)
      return true
    }),
  )
  try {
    act()
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
  return text
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there.
const controls = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/
const hostile = 'a\u001b[2Jb\u0000c\u009b31md\u202ee\rf\u0007'

describe('text from files', () => {
  it('is shown with escapes in place of control characters', () => {
    expect(printable('a\u001b[2J\n\t\u0000\u009b\u202e\u007fé→')).toBe(
      'a\\x1b[2J\\n\\t\\x00\\x9b\\u202e\\x7fé→',
    )
  })

  it('does not steer the terminal in messages, results, JSON and errors', () => {
    for (const act of [
      () => log(hostile),
      () => print(hostile),
      () => printJson({ [hostile]: hostile }),
      () => void reportError(new OptionError('X', hostile), false),
      () => void reportError(new Error(hostile), false),
    ]) {
      const text = written(act)
      expect(text).toContain('[2Jb')
      expect(text).not.toMatch(controls)
    }
    expect(JSON.parse(written(() => printJson({ [hostile]: [hostile] })))).toEqual({ [hostile]: [hostile] })
  })

  it('never makes an error longer than a screen or more than one line, and the code is still there', () => {
    const text = written(
      () => void reportError(new OptionError('LONG', `first\n${'x'.repeat(50_000)}`), false),
    )
    expect(text.length).toBeLessThan(2100)
    expect(text).toMatch(/^flicker: first\\nxxx.*characters left out.*\[LONG\]\n$/)
  })

  it('an error of the operating system has a code, too', () => {
    const failing = () => fs.readFileSync(at('nothing'))
    let code = 0
    const text = written(() => {
      try {
        failing()
      } catch (error) {
        code = reportError(error, false)
      }
    })
    expect([code, text]).toEqual([1, expect.stringMatching(/^flicker: .*ENOENT.*\[SYSTEM_ENOENT\]\n$/)])
  })

  it('a file name with control characters in it stays on one clean line', async () => {
    const { code, stderr } = await flickerHere([
      'generate',
      '--model',
      `no\u001b[31m\nthing`,
      '--prompt',
      'x',
    ])
    expect(code).toBe(2)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).not.toMatch(controls)
    expect(stderr).toContain('no\\x1b[31m\\nthing')
  })
})

describe('streams', () => {
  const generate = (redirect: string, ...flags: string[]) =>
    spawnSync(
      'sh',
      [
        '-c',
        `"$0" "$@" ${redirect}`,
        process.execPath,
        cli,
        'generate',
        '--model',
        'model',
        '--ignore-eos',
        ...flags,
      ],
      { cwd, encoding: 'utf8' },
    )

  it.runIf(fs.existsSync('/dev/full'))('a full disk under standard output is said, with exit code 1', () => {
    const { status, stderr } = generate('> /dev/full', '--prompt', 'Once', '--max-tokens', '4')
    expect(stderr).toMatch(/flicker: cannot write to standard output: ENOSPC.*\[OUTPUT_FAILED\]/)
    expect(status).toBe(1)
  })

  it('a reader that stops listening ends the command without a message, and is no error', () => {
    const script = '{ "$0" "$@"; echo "exit code $?" >&2; } | head -c 1'
    const flags = ['--ignore-eos', '--prompt', 'Once', '--max-tokens', '400']
    const command = [process.execPath, cli, 'generate', '--model', 'model', ...flags]
    const { stderr } = spawnSync('sh', ['-c', script, ...command], { cwd, encoding: 'utf8' })
    expect(stderr).toBe('exit code 0\n')
  })

  it('the prompt comes from standard input with --prompt -, and from a file with --prompt-file', () => {
    fs.writeFileSync(at('prompt.txt'), 'line one\nline two\n')
    const report = (redirect: string, ...flags: string[]) => {
      const { status, stdout, stderr } = generate(redirect, '--json', '--max-tokens', '3', ...flags)
      expect(status, stderr).toBe(0)
      const { prompt, samples } = JSON.parse(stdout) as { prompt: string; samples: { text: string }[] }
      return { prompt, text: samples[0].text }
    }
    const expected = report('', '--prompt', 'line one\nline two')
    expect(expected.prompt).toBe('line one\nline two')
    expect(report('< prompt.txt', '--prompt', '-')).toEqual(expected)
    expect(report('', '--prompt-file', 'prompt.txt')).toEqual(expected)
  })

  it('a prompt that cannot be read is refused', async () => {
    fs.writeFileSync(at('binary'), Uint8Array.of(0xff, 0xfe, 0x80))
    const model = ['generate', '--model', at('model')]
    for (const [flags, says] of [
      [['--prompt-file', at('missing.txt')], 'does not exist [PROMPT_UNREADABLE]'],
      [['--prompt-file', cwd], 'is a directory, not a regular file [PROMPT_UNREADABLE]'],
      [['--prompt-file', '/dev/zero'], 'is not a regular file [PROMPT_UNREADABLE]'],
      [['--prompt-file', at('binary')], 'is not UTF-8 text [PROMPT_NOT_TEXT]'],
      [['--prompt', 'a', '--prompt-file', at('binary')], 'cannot be used with'],
    ] as const) {
      const { code, stdout, stderr } = await flickerHere([...model, ...flags])
      expect([code, stdout], stderr).toEqual([2, ''])
      expect(stderr).toContain(says)
    }
  })
})

describe('progress without a terminal', () => {
  it('is a line for every tenth of the work, at most one a second', () => {
    const clock = vi.spyOn(performance, 'now')
    const lines = written(() => {
      clock.mockReturnValue(0)
      const bar = progressBar('training', 100)
      for (let step = 1; step <= 100; step++) {
        clock.mockReturnValue(step * 500)
        bar.update(step, `loss ${step}`)
      }
      bar.stop()
    })
    clock.mockRestore()
    expect(lines.trimEnd().split('\n')).toEqual(
      [10, 20, 30, 40, 50, 60, 70, 80, 90, 100].map(
        step => `training ${step}/100 (${step} %) · loss ${step}`,
      ),
    )
  })
})
