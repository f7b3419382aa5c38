// `flicker train` and `flicker eval` as processes: what they tell, how they end, and directories that cannot be used.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { latestRunCheckpoint } from '../../src/formats/index.js'
import { temporaryDirectory } from '../train/tiny-run.js'
import { flicker, start } from './run.js'

const SHAPE =
  '--hidden-size 16 --intermediate-size 32 --num-hidden-layers 1 --num-attention-heads 2 --batch-size 2 --context 16 ' +
  '--eval-every 10 --eval-tokens 64 --checkpoint-every 1000'
const text = Array.from({ length: 400 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`).join('\n')

/** A directory with a corpus. */
function workplace(): string {
  const cwd = temporaryDirectory()
  fs.writeFileSync(path.join(cwd, 'corpus.txt'), text)
  return cwd
}

const train = (out: string, ...extra: string[]) => [
  'train',
  '--out',
  out,
  '--corpus',
  'corpus.txt',
  ...SHAPE.split(' '),
  ...extra,
]

describe('flicker train', () => {
  it('without a terminal tells the split and every measurement, in order', async () => {
    const cwd = workplace()
    const { code, stderr } = await flicker(train('run', '--steps', '20'), { cwd })
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(
      /split: training on corpus\.txt\[0:\d+\] \(.* bytes\), validation on corpus\.txt\[\d+:\]/,
    )
    const lines = stderr.split('\n').filter(line => line.startsWith('step '))
    expect(lines).toEqual([
      expect.stringMatching(
        /^step 10\/20 · loss \d\.\d+ · validation \d\.\d+ · silu · [\d,]+ tokens\/s · \d+:\d\d left$/,
      ),
      expect.stringMatching(
        /^step 20\/20 · loss \d\.\d+ · validation \d\.\d+ · silu · [\d,]+ tokens\/s · 0:00 left$/,
      ),
    ])
  })

  it('starts from a checkpoint with its tokenizer, and resumes from the directory alone', async () => {
    const cwd = workplace()
    await flicker(train('silu', '--steps', '10', '--tokenizer', 'bpe:300'), { cwd })
    const shape = '--batch-size 2 --context 16 --eval-every 10 --eval-tokens 64'.split(' ')
    const start = ['train', '--out', 'relu', '--from', 'silu', '--corpus', 'corpus.txt', ...shape]
    const relufy = await flicker([...start, '--strategy', 'relufy', '--steps', '10'], { cwd })
    expect(relufy.code, relufy.stderr).toBe(0)
    expect(relufy.stderr).toMatch(/training silu needs about \d+ MB of memory/)
    const again = await flicker(['train', '--out', path.join(cwd, 'relu'), '--steps', '14'])
    expect(again.code, again.stderr).toBe(0)
    expect(again.stdout).toContain('checkpoint-14')
    const lines = fs
      .readFileSync(path.join(cwd, 'relu', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
    const evaluations = lines.map(line => JSON.parse(line)).filter(({ kind }) => kind === 'evaluation')
    expect(evaluations.map(({ step, activation }) => [step, activation])).toEqual([
      [0, 'silu'],
      [10, 'relu'],
      [14, 'relu'],
    ])
    for (const [flags, says] of [
      [['--strategy', 'relufy', '--hidden-size', '8'], '--hidden-size cannot be given with from'],
      [['--strategy', 'relufy', '--tokenizer', 'bytes'], 'leave out --tokenizer'],
      [['--from', 'nowhere'], 'nowhere is no checkpoint'],
      [['--strategy', 'swift', '--from', 'sliu'], 'no activation'],
    ] as const) {
      const { code, stderr } = await flicker(['train', '--out', 'other', ...start.slice(3), ...flags], {
        cwd,
      })
      expect(code).toBe(2)
      expect(stderr).toContain(says)
      expect(fs.existsSync(path.join(cwd, 'other'))).toBe(false)
    }
  })

  it('given the directory alone resumes with the options of the run, and --steps extends it', async () => {
    const cwd = workplace()
    await flicker(train('run', '--steps', '20', '--learning-rate', '0.004', '--activation', 'gelu'), { cwd })
    // From another directory: paths are kept from the root.
    const run = path.join(cwd, 'run')
    const again = await flicker(['train', '--out', run])
    expect(again.code, again.stderr).toBe(0)
    expect(again.stderr).toContain('all 20 steps are done already')
    const longer = await flicker(['train', '--out', run, '--steps', '30'])
    expect(longer.code, longer.stderr).toBe(0)
    expect(longer.stderr).toContain('resuming after step 20 of 30')
    expect(longer.stderr).toContain('step 30/30')
    expect(longer.stderr).toContain('· gelu')
    expect(latestRunCheckpoint(run)?.step).toBe(30)
    const other = await flicker(['train', '--out', run, '--hidden-size', '32'])
    expect(other).toMatchObject({ code: 2 })
    expect(other.stderr).toContain('model.hiddenSize: 16 there, 32 now')
    expect(await flicker(['train', '--out', run, '--steps', '25'])).toMatchObject({ code: 2 })
    expect(await flicker(['train', '--out', run, '--strategy', 'swift'])).toMatchObject({ code: 2 })
  })

  it.skipIf(process.platform === 'win32').each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)(
    'on %s saves and exits with %i, also when nobody reads what it tells',
    async (signal, exitCode) => {
      const cwd = workplace()
      const { child, finished } = start(train('run', '--steps', '100000'), { cwd })
      const metrics = path.join(cwd, 'run/metrics.jsonl')
      await expect
        .poll(() => fs.existsSync(metrics) && fs.readFileSync(metrics, 'utf8').split('\n').length > 4, {
          timeout: 40_000,
        })
        .toBe(true)
      child.stderr?.destroy()
      child.kill(signal)
      const { code } = await finished
      expect(code).toBe(exitCode)
      expect(latestRunCheckpoint(path.join(cwd, 'run'))?.step).toBeGreaterThan(1)
      expect(fs.readdirSync(path.join(cwd, 'run'))).not.toContain('train.lock')
    },
  )

  it('names what is wrong with a directory that it cannot use, and ends at once', async () => {
    const cwd = workplace()
    fs.writeFileSync(path.join(cwd, 'file'), '')
    fs.symlinkSync('nowhere', path.join(cwd, 'dangling'))
    fs.symlinkSync('loop', path.join(cwd, 'loop'))
    const cases: [out: string, code: string][] = [
      ['file', 'NOT_A_DIRECTORY'],
      ['file/run', 'NOT_A_DIRECTORY'],
      ['dangling', 'LINK_DANGLING'],
      ['loop', 'LINK_LOOP'],
      ['n'.repeat(300), 'NAME_TOO_LONG'],
      ...(process.platform === 'linux'
        ? [['/proc/flicker-run', 'DIRECTORY_REFUSED'] as [string, string]]
        : []),
    ]
    for (const [out, code] of cases) {
      const { code: exitCode, stderr, stdout } = await flicker(train(out, '--steps', '2'), { cwd })
      expect(stderr).toContain(`[${code}]`)
      expect([1, 2]).toContain(exitCode)
      expect(stdout).toBe('')
    }
  })
})

describe('flicker eval', () => {
  it("measures a run on the run's own corpus, and names it and the part", async () => {
    const cwd = workplace()
    await flicker(train('run', '--steps', '10'), { cwd })
    const own = await flicker(['eval', '--model', path.join(cwd, 'run'), '--json'])
    expect(own.code, own.stderr).toBe(0)
    const result = JSON.parse(own.stdout)
    expect(result.corpus).toContain('corpus.txt: 1 file')
    expect(result.measured).toMatch(/^its validation side \(training on corpus\.txt\[0:/)
    expect(result.sample).toBeNull()
    // A tenth of the text, in bytes: all of these but the first are predicted.
    const held = text.length - Math.floor(text.length * 0.9)
    expect(result.tokens).toBe(held - 1)
    const checkpoint = path.join(cwd, 'run/checkpoint-10')
    const same = await flicker(['eval', '--model', checkpoint, '--json'])
    expect(JSON.parse(same.stdout)).toEqual(result)
    const part = await flicker(['eval', '--model', checkpoint, '--max-tokens', '100'])
    expect(part.stdout).toMatch(/tokens +\d+ of [\d,]+: 7 of \d+ windows, drawn with seed 1/)
    const whole = await flicker(
      ['eval', '--model', checkpoint, '--corpus', 'corpus.txt', '--whole', '--json'],
      { cwd },
    )
    expect(JSON.parse(whole.stdout)).toMatchObject({ measured: 'all of it', tokens: text.length - 1 })
  })

  it('reads GGUF files, with the loss of the model that was written, and rounds weights', async () => {
    const cwd = workplace()
    await flicker(train('run', '--steps', '10'), { cwd })
    const converted = await flicker(['convert', 'run', 'model.gguf'], { cwd })
    expect(converted.code, converted.stderr).toBe(0)
    const lossOf = async (...extra: string[]) => {
      const { stdout, stderr } = await flicker(['eval', '--corpus', 'corpus.txt', '--json', ...extra], {
        cwd,
      })
      expect(stderr).toBe('')
      return JSON.parse(stdout).loss as number
    }
    const loss = await lossOf('--model', 'run')
    expect(await lossOf('--model', 'model.gguf')).toBeCloseTo(loss, 3)
    const rounded = await lossOf('--model', 'run', '--dtype', 'q4_0')
    expect(rounded).not.toBe(loss)
    expect(rounded).toBeCloseTo(loss, 1)
  })
})
