// `flicker generate` as a user meets it: texts, conversations, JSON, telemetry, bad input, Ctrl-C.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { main } from '../../src/cli/main.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { load } from '../../src/engine/index.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { flicker, start } from './run.js'

/** Rows of whole groups of 32, which q8_0 asks for. */
const shape = { ...smallConfig, hiddenSize: 32, intermediateSize: 96 }
const signals = ['SIGINT', 'SIGTERM'] as const
let cwd = ''

beforeAll(() => {
  cwd = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-cli-'))
  writeModel('model', 512)
  // Long enough to be still at work when the signal comes.
  writeModel('long', 200_000)
  const template = '{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]'
  const config = { eos_token: '<|endoftext|>', chat_template: template }
  fs.writeFileSync(path.join(cwd, 'model/tokenizer_config.json'), JSON.stringify(config))
  fs.writeFileSync(path.join(cwd, 'shout.jinja'), '{{ messages[-1].content | upper }}')
})
afterAll(() => fs.rmSync(cwd, { recursive: true }))

function writeModel(name: string, context: number): void {
  const tokenizer = bytesTokenizer()
  const sizes = { vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: context }
  const config = { ...shape, ...sizes }
  const tensors = tensorOf(randomTensors(config, 9))
  writeCheckpoint(path.join(cwd, name), {
    config,
    tensors: parameterShapes(config).map(({ name, shape }) => ({ name, shape, data: tensors(name) })),
    tokenizer: tokenizer.toJSON(),
  })
}

function generate(...flags: string[]) {
  return flicker(['generate', '--model', 'model', '--prompt', 'Once', '--max-tokens', '12', ...flags], {
    cwd,
  })
}

/** The same without a process of its own, which would take longer than all the rest. */
async function inThisProcess(model: string, ...flags: string[]) {
  const written = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map(stream =>
    vi.spyOn(process[stream], 'write').mockImplementation(chunk => {
      written[stream] += String(chunk)
      return true
    }),
  )
  const listeners = signals.map(signal => process.listeners(signal))
  const code = await main(['generate', '--model', path.join(cwd, model), '--prompt', 'Once', ...flags])
  for (const [i, signal] of signals.entries()) {
    for (const listener of process.listeners(signal))
      if (!listeners[i].includes(listener)) process.off(signal, listener)
  }
  for (const spy of spies) spy.mockRestore()
  return { code, ...written }
}

async function json(...flags: string[]) {
  const { code, stdout, stderr } = await generate('--json', '--ignore-eos', ...flags)
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

/** What the library gives for the same options. */
async function completion(
  options: object,
  prompt: Parameters<Awaited<ReturnType<typeof load>>['complete']>[0] = 'Once',
) {
  const model = await load(path.join(cwd, 'model'))
  return model.completeMany(prompt, { maxTokens: 12, ignoreEos: true, ...options })
}

describe('flicker generate', () => {
  it('prints the prompt and the text, and the same with any engine that computes the same', async () => {
    const [{ text }] = await completion({})
    const plain = await generate('--ignore-eos')
    expect(plain).toMatchObject({ code: 0, stdout: `Once${text}\n`, stderr: '' })
    const printed = (...flags: string[]) =>
      inThisProcess('model', '--max-tokens', '12', '--ignore-eos', ...flags)
    for (const flags of [
      ['--ffn', 'dense'],
      ['--ffn', 'sparse'],
      ['--narrow-gate', 'on'],
    ]) {
      expect((await printed(...flags)).stdout).toBe(plain.stdout)
    }
    for (const flags of [
      ['--dtype', 'q8_0'],
      ['--dtype', 'bf16', '--kv', 'q8'],
    ]) {
      expect((await printed(...flags)).code, flags.join(' ')).toBe(0)
    }
  })

  it('gives the library every option', async () => {
    const options = {
      ...{ temperature: 0.9, topK: 50, topP: 0.95, minP: 0.01, seed: 7, n: 3, sequence: 4, topLogprobs: 2 },
      ...{ repetitionPenalty: 1.2, presencePenalty: 0.3, frequencyPenalty: -0.2, activation: 'stocha:p=0.4' },
      logitBias: new Map<string | number, number>([
        [101, 2],
        ['a', -1.5],
        ['7', Number.NEGATIVE_INFINITY],
      ]),
      stop: ['q', '\n\n'],
    }
    const flags =
      '--temperature 0.9 --top-k 50 --top-p 0.95 --min-p 0.01 --seed 7 --n 3 --sequence 4 --top-logprobs 2 ' +
      '--repetition-penalty 1.2 --presence-penalty 0.3 --frequency-penalty -0.2 --activation stocha:p=0.4 ' +
      '--logit-bias 101=2 --logit-bias a=-1.5 --logit-bias "7"=-inf --stop q --stop "\\n\\n"'
    const { samples, prompt } = await json(...flags.split(' '))
    expect(prompt).toBe('Once')
    const expected = await completion(options)
    expect(samples).toHaveLength(3)
    for (const [i, { tokens, stats, ...sample }] of samples.entries()) {
      const { tokens: own, stats: _, ...rest } = expected[i]
      expect(sample).toEqual(rest)
      expect(tokens.map((token: object) => ({ ...token }))).toEqual(
        own.map(({ sequence: _, pass, activeNeurons, ...token }) => ({
          ...token,
          activeNeurons: [...activeNeurons],
          ffnBytesRead: [...pass.ffnBytesRead],
          ffnBytesSkipped: [...pass.ffnBytesSkipped],
          otherBytesRead: pass.otherBytesRead,
        })),
      )
      expect(stats.bytesReadPerToken).toBeGreaterThan(0)
    }
  })

  it('prints several texts one after the other', async () => {
    const texts = await completion({ temperature: 2, n: 2, seed: 3 })
    const { stdout } = await generate('--ignore-eos', '--temperature', '2', '--n', '2', '--seed', '3')
    expect(stdout).toBe(
      `--- 1 of 2 (sequence 0) ---\nOnce${texts[0].text}\n\n--- 2 of 2 (sequence 1) ---\nOnce${texts[1].text}\n`,
    )
  })

  it('answers a message through the chat template, the model’s or one from a file', async () => {
    const chatted = await generate('--ignore-eos', '--chat', '--system', 'Be brief.')
    const [{ text }] = await completion({}, '[system] Be brief.\n[user] Once\n[assistant]')
    expect(chatted).toMatchObject({ code: 0, stdout: `${text}\n` })
    const [shouted] = await completion({}, 'ONCE')
    const own = await generate('--ignore-eos', '--chat', '--chat-template', 'shout.jinja')
    expect(own.stdout).toBe(`${shouted.text}\n`)
  })

  it('prints telemetry and alternatives on stderr', async () => {
    const { stdout, stderr } = await generate('--ignore-eos', '--stats', '--top-logprobs', '2')
    const [{ text, tokens }] = await completion({ topLogprobs: 2 })
    expect(stdout).toBe(`Once${text}\n`)
    const lines = stderr.split('\n')
    for (const [i, { id, logprob, topLogprobs = [] }] of tokens.entries()) {
      expect(lines[i]).toContain(`${id} `)
      expect(lines[i]).toContain(logprob.toFixed(3))
      expect(lines[i]).toContain(topLogprobs[1].logprob.toFixed(3))
    }
    expect(stderr).toMatch(
      /prompt +4 tokens in [\d.]+ s\ndecoded +12 tokens, [\d.]+ tokens\/s\nmemory .*skipped/,
    )
    const layers = lines.flatMap(line => /^ +(\d) +([\d.]+) % +([\d.]+) %$/.exec(line)?.slice(1) ?? [])
    const zeros = [0, 1].map(layer => {
      const active = tokens.slice(1).reduce((sum, { activeNeurons }) => sum + activeNeurons[layer], 0)
      return (100 * (1 - active / 11 / shape.intermediateSize)).toFixed(1)
    })
    expect([layers[0], layers[1], layers[3], layers[4]]).toEqual(['0', zeros[0], '1', zeros[1]])
  })

  it('keeps neurons that never fire out of memory, with the same text', async () => {
    fs.writeFileSync(path.join(cwd, 'like-this.txt'), 'Once')
    const flags = ['--max-tokens', '12', '--ignore-eos', '--stats']
    const whole = await inThisProcess('model', ...flags)
    const compact = await inThisProcess('model', ...flags, '--compact', path.join(cwd, 'like-this.txt'))
    expect(compact.stdout, compact.stderr).toBe(whole.stdout)
    const line = /compact +(\d+) of 192 neurons out of memory \([\d.e-]+ MB\), (\d+) read back/.exec(
      compact.stderr,
    )
    expect(Number(line?.[1]) + Number(line?.[2]), compact.stderr).toBeGreaterThan(0)
    expect(whole.stderr).not.toContain('compact')
  })

  it('says what an option without effect does not do', async () => {
    const { code, stderr } = await generate('--ffn', 'sparse', '--activation', 'silu')
    expect([code, stderr]).toEqual([0, expect.stringContaining('nothing to skip')])
  })

  it('ends cleanly at Ctrl-C, with the text so far and 130', async () => {
    const endless = ['--max-tokens', '199000', '--ignore-eos']
    const { child, finished } = start(['generate', '--model', 'long', '--prompt', 'Once', ...endless], {
      cwd,
    })
    await new Promise(resolve => child.stdout?.once('data', resolve))
    child.kill('SIGINT')
    const { code, stdout, stderr } = await finished
    expect(code, stderr).toBe(130)
    expect(stderr).toContain('[INTERRUPTED]')
    expect([stdout.slice(0, 4), stdout.at(-1)]).toEqual(['Once', '\n'])

    // As soon as somebody listens for the signal.
    const before = process.listenerCount('SIGINT')
    const waiting = setInterval(() => {
      if (process.listenerCount('SIGINT') === before) return
      clearInterval(waiting)
      process.emit('SIGINT')
    }, 20)
    const report = await inThisProcess('long', ...endless, '--json')
    expect(report.code).toBe(130)
    expect(JSON.parse(report.stdout).samples[0].finishReason).toBe('aborted')
  })

  it('answers bad input with one line, exit code 2 and nothing on stdout', async () => {
    const wrong: [flags: string[], says: RegExp][] = [
      [['--top-p', '0.9'], /--top-p 0.9 has no effect: temperature 0, the default/],
      [['--n', '2'], /n 2: all continuations would be the same/],
      [['--temperature', '-1'], /temperature must be/],
      [['--repetition-penalty', '0'], /--repetition-penalty must be above 0/],
      [['--top-logprobs', '999'], /--top-logprobs must be an integer from 0 to the vocabulary's 257/],
      [['--logit-bias', 'a'], /must be a token and its bias, as in 50256=-100, not "a"/],
      [['--logit-bias', '=5'], /must be a token and its bias, as in 50256=-100, not "=5"/],
      [['--logit-bias', 'ab=1'], /"ab" is the 2 tokens 97, 98/],
      [['--logit-bias', '300=1'], /no token 300/],
      [['--logit-bias', 'a=much'], /--logit-bias must be a number, not "much"/],
      [['--stop', ''], /--stop must not be empty/],
      [['--stop', '"\\q"'], /--stop must be a JSON text/],
      [
        ['--dtype', 'f8'],
        /--dtype must be one of auto, f32, bf16, f16, q8_0, q6_k, q5_k, q4_k, q4_0, not "f8"/,
      ],
      [
        ['--narrow-gate', 'on', '--dtype', 'q8_0'],
        /--narrow-gate "on" needs gate weights in .*, not q8_0.*NARROW_GATE_DTYPE/,
      ],
      [
        ['--narrow-gate', 'on', '--activation', 'silu'],
        /--narrow-gate "on" .* and silu is not.*NARROW_GATE_ACTIVATION/,
      ],
      [['--compact', 'nowhere.txt'], /the text for compaction.*nowhere.txt/],
      [['--system', 'x'], /add --chat/],
      [['--chat', '--chat-template', 'nowhere'], /no chat template "nowhere"; the model has default/],
      [['--prompt', 'x'.repeat(600)], /600.*512/],
    ]
    for (const [flags, says] of wrong) {
      const { code, stdout, stderr } = await inThisProcess('model', ...flags)
      const label = `${flags.join(' ')}: ${stderr}`
      expect(code, label).toBe(2)
      expect(stdout, label).toBe('')
      expect(stderr, label).toMatch(says)
      expect(stderr, label).not.toMatch(/\n {4}at /)
    }
    const missing = await inThisProcess('long', '--chat')
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('CHAT_TEMPLATE_MISSING') })
  })
})
