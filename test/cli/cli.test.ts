// The command line as a user meets it: output, exit codes, bad input, interruption and kills.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { latestRunCheckpoint } from '../../src/formats/index.js'
import { temporaryDirectory } from '../train/tiny-run.js'
import { flickerHere } from './in-process.js'
import { flicker, start } from './run.js'

const text = Array.from({ length: 400 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`).join('\n')

/** A directory with a corpus, and the flags of a run of a second or two on it. */
function workplace() {
  const cwd = temporaryDirectory()
  fs.writeFileSync(path.join(cwd, 'corpus.txt'), text)
  const flags =
    '--corpus corpus.txt --steps 120 --hidden-size 16 --intermediate-size 32 --num-hidden-layers 2 --num-attention-heads 2 ' +
    '--batch-size 4 --context 32 --eval-every 40 --eval-tokens 256 --checkpoint-every 10 --strategy swift --alpha 0.25 ' +
    '--learning-rate 0.01 --warmup-steps 10'
  return {
    cwd,
    train: (out: string, ...extra: string[]) => ['train', '--out', out, ...flags.split(' '), ...extra],
  }
}

const steps = (run: string): unknown[] =>
  fs
    .readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
    .flatMap(({ kind, step, loss }) => (kind === 'step' ? [[step, loss]] : []))

const weights = (run: string) =>
  fs.readFileSync(path.join(latestRunCheckpoint(run)?.dir ?? '', 'model.safetensors')).toString('base64')

describe('the command line', () => {
  it('explains every command with examples', async () => {
    const { code, stdout } = await flicker(['--help'])
    expect(code).toBe(0)
    const commands = [...stdout.matchAll(/^ {2}(\w+) /gm)]
      .map(match => match[1])
      .filter(name => name !== 'help')
    expect(commands).toEqual(expect.arrayContaining(['study', 'train', 'generate', 'eval', 'bench', 'info']))
    for (const command of commands) {
      const help = await flickerHere([command, '--help'])
      expect(help.code).toBe(0)
      expect(help.stdout, command).toContain('Examples:')
    }
  })

  it('info --json prints one JSON object and nothing else', async () => {
    const { code, stdout } = await flicker(['info', '--json'])
    expect(code).toBe(0)
    expect(Object.keys(JSON.parse(stdout))).toEqual(
      expect.arrayContaining(['version', 'backend', 'isa', 'cores', 'threads']),
    )
  })

  it('obeys FLICKER_THREADS and FLICKER_BACKEND, and refuses what they cannot be', async () => {
    const info = async (env: Record<string, string>) => flicker(['info', '--json'], { env })
    expect(JSON.parse((await info({ FLICKER_BACKEND: 'portable' })).stdout).backend).toBe('portable')
    expect(await info({ FLICKER_BACKEND: 'gpu' })).toMatchObject({ code: 2, stdout: '' })
    const foreign = await info({ FLICKER_ISA: 'mmx', FLICKER_BACKEND: '' })
    expect(foreign).toMatchObject({ code: 2, stdout: '' })
    // A build may hold one instruction set alone: the message names what is there and the command for the others.
    expect(foreign.stderr).toContain('FLICKER_ISA is "mmx"')
    expect(foreign.stderr).toContain('FLICKER_ISA=all npm run build:native')
    const all = await info({ FLICKER_ISA: 'all', FLICKER_BACKEND: '' })
    expect(JSON.parse(all.stdout).isa, 'all is an order to the build alone').toBe(
      JSON.parse((await info({ FLICKER_ISA: '', FLICKER_BACKEND: '' })).stdout).isa,
    )
  })

  it('trains, generates and evaluates', async () => {
    const { cwd, train } = workplace()
    const trained = await flicker(train('run', '--json'), { cwd })
    expect(trained.code, trained.stderr).toBe(0)
    expect(JSON.parse(trained.stdout).evaluations.length).toBeGreaterThan(2)

    const generate = (...extra: string[]) =>
      flicker(['generate', '--model', 'run', '--prompt', 'line ', '--max-tokens', '24', ...extra], { cwd })
    const greedy = await generate()
    expect(greedy.stdout.startsWith('line ')).toBe(true)
    expect((await generate()).stdout).toBe(greedy.stdout)
    expect((await generate('--ffn', 'dense')).stdout).toBe(greedy.stdout)
    // The paper's second use: greedy, but drawn. A seed gives one text, and seeds give different ones.
    const drawn = (seed: string) => generate('--activation', 'stocha:p=0.5', '--seed', seed)
    expect((await drawn('1')).stdout).toBe((await drawn('1')).stdout)
    const texts = await Promise.all(['1', '2', '3', '4'].map(async seed => (await drawn(seed)).stdout))
    expect(new Set(texts).size).toBeGreaterThan(1)

    const report = await flicker(['eval', '--model', 'run', '--corpus', 'corpus.txt', '--json'], { cwd })
    expect(JSON.parse(report.stdout)).toMatchObject({ activation: 'relu', tokens: expect.any(Number) })
  })

  it('stopped by Ctrl-C saves and exits 130; given again it goes on with the same bits', async () => {
    const { cwd, train } = workplace()
    const long = ['--steps', '800'] // so that it is still at work when the signal comes
    await flicker(train('whole', ...long), { cwd })
    const { child, finished } = start(train('parts', ...long), { cwd })
    const metrics = path.join(cwd, 'parts/metrics.jsonl')
    await until(() => fs.existsSync(metrics) && fs.readFileSync(metrics, 'utf8').split('\n').length > 4)
    child.kill('SIGINT')
    const { code, stderr } = await finished
    expect(code).toBe(130)
    expect(stderr).toContain('Run the same command again to resume')
    expect(await flicker(train('parts', ...long), { cwd })).toMatchObject({ code: 0 })
    expect(steps(path.join(cwd, 'parts'))).toEqual(steps(path.join(cwd, 'whole')))
    expect(weights(path.join(cwd, 'parts'))).toBe(weights(path.join(cwd, 'whole')))
  })

  it('killed at random moments and started again, ends with the same bits', async () => {
    const { cwd, train } = workplace()
    await flicker(train('whole'), { cwd })
    const kills = process.env.FLICKER_FULL === undefined ? 3 : 25
    for (let i = 0; i < kills; i++) {
      const { child, finished } = start(train('killed'), { cwd })
      setTimeout(() => child.kill('SIGKILL'), 350 + Math.random() * 400)
      await finished
    }
    expect(await flicker(train('killed'), { cwd })).toMatchObject({ code: 0 })
    expect(steps(path.join(cwd, 'killed'))).toEqual(steps(path.join(cwd, 'whole')))
    expect(weights(path.join(cwd, 'killed'))).toBe(weights(path.join(cwd, 'whole')))
  }, 300_000)

  it('answers bad input with one line, exit code 2 and nothing on stdout', async () => {
    const { cwd, train } = workplace()
    fs.writeFileSync(path.join(cwd, 'empty.txt'), '')
    fs.writeFileSync(path.join(cwd, 'binary.bin'), Uint8Array.of(0, 1, 2, 255, 0))
    fs.writeFileSync(path.join(cwd, 'short.txt'), 'too short')
    fs.writeFileSync(
      path.join(cwd, 'bad.yaml'),
      'name: x\ntitle: x\nruns: [{name: a, strategy: swift, alpha: 2}]\n',
    )
    const model = ['generate', '--model', 'none', '--prompt', 'x']
    const wrong: [args: string[], says: string][] = [
      [train('r', '--corpus', 'empty.txt'), 'CORPUS_EMPTY'],
      [train('r', '--corpus', 'binary.bin'), 'CORPUS_BINARY'],
      [train('r', '--corpus', 'short.txt'), 'CORPUS_TOO_SHORT'],
      [train('r', '--corpus', 'no/where'), 'CORPUS_NOT_FOUND'],
      [train('r', '--alpha', '1.5'), '(0, 1]'],
      [train('r', '--to', 'rleu'), 'Did you mean "relu"?'],
      [train('r', '--p', '0.5'), '--p belongs to --strategy stocha'],
      [train('r', '--hidden-size', '15'), '--hidden-size'],
      [train('r', '--steps', 'ten'), '--steps must be a number, not "ten"'],
      [train('r', '--tokenizer', 'bpe:3'), 'BPE_VOCABULARY_RANGE'],
      [['train'], '--out'],
      [['study', 'no.yaml'], 'RECIPE_MISSING'],
      [['study', 'bad.yaml'], 'runs[0].alpha'],
      [model, 'CHECKPOINT_MISSING'],
      [[...model, '--max-tokens', '0'], '--max-tokens must be an integer of at least 1, not "0"'],
      [['nonsense'], 'unknown command'],
      [['train', '--out', 'r', '--nonsense'], 'unknown option'],
    ]
    const before = process.cwd()
    process.chdir(cwd)
    try {
      for (const [args, says] of wrong) {
        const { code, stdout, stderr } = await flickerHere(args)
        const label = `${args.join(' ')}: ${stderr}`
        expect(code, label).toBe(2)
        expect(stdout, label).toBe('')
        expect(stderr, label).toContain(says)
        expect(stderr, label).not.toMatch(/\n {4}at /)
      }
    } finally {
      process.chdir(before)
    }
    // And as a process: the exit code reaches the shell.
    expect(await flicker(train('r', '--alpha', '1.5'), { cwd })).toMatchObject({ code: 2, stdout: '' })
  }, 120_000)

  it('shows the stack with --debug only', async () => {
    const args = ['study', 'no.yaml']
    expect((await flicker(args)).stderr).not.toMatch(/\n {4}at /)
    expect((await flicker(['--debug', ...args])).stderr).toMatch(/\n {4}at /)
  })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 10))
}
