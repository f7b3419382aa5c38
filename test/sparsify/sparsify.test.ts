// flicker sparsify on a small model: what it writes, that the sparsity counted is the one asked for, that other ways of
// reading the result agree, and what is refused.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, load } from '../../src/engine/index.js'
import { convertModel, openModel, writeCheckpoint } from '../../src/formats/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { METHOD_NAMES } from '../../src/sparsify/methods.js'
import { sparsify } from '../../src/sparsify/sparsify.js'
import { flickerHere } from '../cli/in-process.js'
import { bitsOf } from '../engine/bits.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const cwd = temporaryDirectory()
afterAll(() => fs.rmSync(cwd, { recursive: true }))
const at = (name: string) => path.join(cwd, name)
const base: ModelConfig = {
  ...smallConfig,
  vocabSize: bytesTokenizer().vocabSize,
  hiddenSize: 32,
  intermediateSize: 96,
  activation: 'silu',
}
const prompt = Array.from({ length: 24 }, (_, i) => (i * i + 40) % 90)

function write(name: string, config: ModelConfig): void {
  const tensors = tensorOf(randomTensors(config, 9))
  writeCheckpoint(at(name), {
    config,
    tensors: parameterShapes(config).map(({ name: tensor, shape }) => ({
      name: tensor,
      shape,
      data: tensors(tensor),
    })),
    tokenizer: bytesTokenizer().toJSON(),
  })
}

beforeAll(() => {
  write('gated', base)
  write('plain', { ...base, ffn: 'plain' })
  write('spark', { ...base, ffn: 'spark' })
  const lines = Array.from({ length: 400 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`)
  fs.writeFileSync(at('text.txt'), lines.join('\n'))
  fs.writeFileSync(at('short.txt'), 'too short')
  fs.writeFileSync(at('empty.txt'), '')
})

const options = { calibrate: at('text.txt'), tokens: 2000, measureTokens: 1000, context: 64 }

describe.each(METHOD_NAMES)('%s', method => {
  it('cuts what was asked for, counted on held-out text, and writes a checkpoint that runs it', async () => {
    const source = openModel(at('gated'))
    const out = at(`cut-${method}`)
    const record = sparsify(source, { ...options, method, sparsity: 0.5, out })
    source.close()
    expect(record.measured?.tokens).toBe(960)
    const { levels = [], weightsSkipped = 0, perplexity = 0, densePerplexity = 0 } = record.measured ?? {}
    expect(levels).toHaveLength(2)
    // Of gate, up and down 3·32·96 weights, of q and o 2·32², of k and v 2·32·16: up and down are two thirds of the first.
    const ffn = 3 * 32 * 96
    const all = ffn + 2 * 32 * 32 + 2 * 32 * 16
    // LaRoSa: 0.4 of q, k, v, gate, up, less two rotations of 32², and 0.6 of o and down.
    const [rotated, others] = [(2 * ffn) / 3 + 32 * 32 + 2 * 32 * 16, ffn / 3 + 32 * 32]
    const larosa = 0.4 * rotated + 0.6 * others - 2 * 32 * 32
    const wanted =
      {
        cats: ffn / 3,
        chess: ffn / 3,
        cett: ffn / 6,
        teal: all / 2,
        wina: all / 2,
        rsparse: all / 2,
        larosa,
      }[method] / all
    expect(Math.abs(weightsSkipped - wanted)).toBeLessThan(0.04)
    expect(Math.abs(Math.log(perplexity / densePerplexity))).toBeGreaterThan(1e-4)

    const json = JSON.parse(fs.readFileSync(path.join(out, 'config.json'), 'utf8'))
    expect(json.flicker.sparsity).toEqual(JSON.parse(JSON.stringify(record)))
    expect(json.flicker.sparsity).toMatchObject({ approximate: true, method, level: 0.5 })
    expect(json.architectures).toEqual(['LlamaForCausalLM'])

    const [exact, original, cut] = [
      await load(out, { exact: true }),
      await load(at('gated')),
      await load(out, { sparsePrompt: 'all' }),
    ]
    expect(bitsOf(exact.logits(prompt))).toEqual(bitsOf(original.logits(prompt)))
    expect([exact.approximation, original.approximation]).toEqual([null, null])
    expect(cut.approximation).toMatch(new RegExp(`^approximate: cut by ${method} to 50.0 %`))
    expect(bitsOf(cut.logits(prompt))).not.toEqual(bitsOf(original.logits(prompt)))

    // The weights of another program's model are not touched: what is rotated is rotated when it is loaded.
    expect(
      fs
        .readFileSync(path.join(out, 'model.safetensors'))
        .equals(fs.readFileSync(at('gated/model.safetensors'))),
    ).toBe(true)

    // Converting keeps the cuts in a Hugging Face directory and says that GGUF has none.
    convertModel(out, at(`again-${method}`), { to: 'hf' })
    expect(bitsOf((await load(at(`again-${method}`))).logits(prompt))).toEqual(bitsOf(cut.logits(prompt)))
    const { notes } = convertModel(out, at(`${method}.gguf`), { to: 'gguf' })
    expect(notes.join()).toContain('holds no cuts')
    expect(bitsOf((await load(at(`${method}.gguf`))).logits(prompt))).toEqual(bitsOf(original.logits(prompt)))
  })
})

describe('a cut model', () => {
  it('applies its cuts to the prompt only as asked: by default not', async () => {
    const [original, byDefault, half, all] = await Promise.all([
      load(at('gated')),
      load(at('cut-cats')),
      load(at('cut-cats'), { sparsePrompt: 'half' }),
      load(at('cut-cats'), { sparsePrompt: 'all' }),
    ])
    const first = async (model: typeof original) => {
      const { tokens } = await model.complete(prompt, { maxTokens: 1, topLogprobs: 1 })
      return tokens[0].logprob
    }
    expect(await first(byDefault)).toBe(await first(original))
    const others = [await first(original), await first(half), await first(all)]
    expect(new Set(others).size).toBe(3)
  })

  it('is not cut again', () => {
    const source = openModel(at('cut-teal'))
    const again = () => sparsify(source, { ...options, method: 'cats', sparsity: 0.5, out: at('never') })
    expect(again).toThrow(expect.objectContaining({ code: 'SPARSIFIED_ALREADY' }))
    source.close()
  })

  it.each([
    [
      'without its file',
      (dir: string) => fs.rmSync(path.join(dir, 'cuts.safetensors')),
      'cuts.safetensors is missing',
    ],
    [
      'with a record that lacks its method',
      (dir: string) => {
        const file = path.join(dir, 'config.json')
        fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"method"', '"way"'))
      },
      'lacks method',
    ],
    [
      'with cuts of another shape',
      (dir: string) =>
        fs.copyFileSync(path.join(at('cut-other'), 'cuts.safetensors'), path.join(dir, 'cuts.safetensors')),
      'has the shape [48], not [96]',
    ],
  ])('%s is refused, and runs exactly', async (_, damage, message) => {
    if (!fs.existsSync(at('cut-other'))) {
      write('other', { ...base, intermediateSize: 48 })
      const source = openModel(at('other'))
      sparsify(source, { ...options, method: 'chess', sparsity: 0.5, out: at('cut-other') })
      source.close()
    }
    const dir = at('damaged')
    fs.rmSync(dir, { recursive: true, force: true })
    fs.cpSync(at('cut-chess'), dir, { recursive: true })
    damage(dir)
    await expect(load(dir)).rejects.toThrow(
      expect.objectContaining({ code: 'CUTS_INVALID', message: expect.stringContaining(message) }),
    )
    const exact = await load(dir, { exact: true })
    expect(bitsOf(exact.logits(prompt))).toEqual(bitsOf((await load(at('gated'))).logits(prompt)))
  })
})

describe('cutting a plain FFN', () => {
  it.each(['teal', 'wina', 'cett', 'rsparse', 'larosa'] as const)('works with %s', method => {
    const source = openModel(at('plain'))
    const record = sparsify(source, { ...options, method, sparsity: 0.4, out: at(`plain-${method}`) })
    expect(record.measured?.weightsSkipped).toBeGreaterThan(0.1)
    expect(Object.keys(record.measured?.levels[0] ?? {})).not.toContain('gate')
    source.close()
  })
})

describe('the command', () => {
  const flags = (model: string, ...more: string[]) => [
    ...[
      'sparsify',
      '--model',
      at(model),
      '--calibrate',
      at('text.txt'),
      '--tokens',
      '2000',
      '--out',
      at('refused'),
    ],
    ...['--context', '64', '--method', 'cats', '--sparsity', '0.5', ...more],
  ]
  it.each([
    ['a method that needs a gate, a plain FFN', flags('plain'), 'METHOD_FFN', 'has no gate'],
    ['an FFN that cannot be cut', flags('spark', '--method', 'teal'), 'METHOD_FFN', 'is spark'],
    ['sparsity 0', flags('gated', '--sparsity', '0'), 'SPARSITY_RANGE', 'not 0'],
    ['sparsity 1', flags('gated', '--sparsity', '1'), 'SPARSITY_RANGE', 'not 1'],
    ['sparsity 50', flags('gated', '--sparsity', '50'), 'SPARSITY_RANGE', 'not 50'],
    [
      'a short text',
      flags('gated', '--calibrate', at('short.txt')),
      'CORPUS_TOO_SHORT',
      'one context needs 64',
    ],
    ['an empty text', flags('gated', '--calibrate', at('empty.txt')), 'CORPUS_TOO_SHORT', 'has 0 tokens'],
    ['no text', flags('gated', '--calibrate', at('none.txt')), 'CORPUS_NOT_FOUND', 'does not exist'],
    [
      'a short held-out text',
      flags('gated', '--held-out', at('short.txt')),
      'CORPUS_TOO_SHORT',
      'held-out text',
    ],
    ['a destination that exists', flags('gated', '--out', at('plain')), 'DESTINATION_EXISTS', '--force'],
  ])('refuses %s in one line and writes nothing', async (_, args, code, message) => {
    const before = fs.readdirSync(cwd)
    const { code: exit, stderr, stdout } = await flickerHere(args)
    expect(exit).toBe(2)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).toContain(`[${code}]`)
    expect(stderr).toContain(message)
    expect(stdout).toBe('')
    expect(fs.readdirSync(cwd)).toEqual(before)
  })

  it('refuses a text that does not fit into memory, and a model that does not', () => {
    const source = openModel(at('gated'))
    const cut = (bytes: number) =>
      sparsify(source, {
        ...options,
        method: 'cats',
        sparsity: 0.5,
        out: at('refused'),
        memory: { available: () => bytes },
      })
    expect(() => cut(1000)).toThrow(expect.objectContaining({ code: 'MODEL_MEMORY' }))
    // The model with its buffers fits, the residual stream of 2,000 tokens beside it does not.
    expect(() => cut(250_000)).toThrow(expect.objectContaining({ code: 'CALIBRATION_MEMORY' }))
    expect(fs.existsSync(at('refused'))).toBe(false)
    source.close()
  })

  it('prints what was measured, and generate says that the model is approximate unless it is run exactly', async () => {
    const cut = await flickerHere([
      ...flags('gated', '--out', at('command'), '--method', 'teal', '--measure-tokens', '200'),
    ])
    expect(cut.code, cut.stderr).toBe(0)
    expect(cut.stdout).toMatch(/approximate, cut by TEAL/)
    expect(cut.stdout).toMatch(/every position cut\nperplexity .*, without cuts /)
    const generate = (...more: string[]) =>
      flickerHere(['generate', '--model', at('command'), '--prompt', 'line 7', '--max-tokens', '3', ...more])
    const approximate = await generate('--sparse-prompt', 'half', '--json')
    expect(approximate.stderr).toMatch(/approximate: cut by teal to 50.0 %.*second half/)
    expect(JSON.parse(approximate.stdout).approximation).toMatch(/^approximate: cut by teal/)
    const [stats, exact] = [await generate('--stats'), await generate('--exact', '--stats')]
    expect(stats.stderr.match(/approximate/g)).toHaveLength(2)
    expect(exact.stderr).not.toContain('approximate')
  })
})

describe('a sweep', () => {
  const sweep = (model: string, ...more: string[]) =>
    flickerHere([
      ...[
        'sparsify',
        '--model',
        at(model),
        '--calibrate',
        at('text.txt'),
        '--tokens',
        '300',
        '--context',
        '64',
      ],
      ...['--measure-tokens', '200', '--sweep', ...more],
    ])

  it('measures every method at every level and writes one report', async () => {
    const { code, stdout, stderr } = await sweep(
      'gated',
      '--levels',
      '0.5,0.2',
      '--out',
      at('sweep'),
      '--json',
    )
    expect(code, stderr).toBe(0)
    const results = JSON.parse(stdout)
    expect(JSON.parse(fs.readFileSync(at('sweep/results.json'), 'utf8'))).toEqual(results)
    expect(results).toMatchObject({ approximate: true, heldOut: { prompt: 'all', context: 64, tokens: 192 } })
    type Point = {
      method: string
      level: number
      weightsSkipped: number
      speedRatio: number
      perplexity: number
    }
    const points: Point[] = results.points
    expect(points.map(({ method, level }) => [method, level])).toEqual(
      METHOD_NAMES.flatMap(method => [0.2, 0.5].map(level => [method, level])),
    )
    for (let i = 0; i < points.length; i += 2) {
      expect(points[i].weightsSkipped).toBeLessThan(points[i + 1].weightsSkipped)
    }
    expect(points.every(({ speedRatio, perplexity }) => speedRatio > 0 && perplexity > 1)).toBe(true)
    // The same numbers as the single command finds.
    const source = openModel(at('gated'))
    const single = sparsify(source, {
      ...options,
      tokens: 300,
      measureTokens: 200,
      method: 'cats',
      sparsity: 0.5,
      out: at('one'),
    })
    source.close()
    expect(points[1].perplexity).toBe(single.measured?.perplexity)
    expect(results.dense.perplexity).toBe(single.measured?.densePerplexity)
    const page = fs.readFileSync(at('sweep/report.html'), 'utf8')
    expect(page).not.toMatch(/NaN|undefined/)
    expect(page).toContain('every position cut')
  })

  it('leaves out methods that cannot cut the model, unless they are asked for', async () => {
    const { code, stdout } = await sweep('plain', '--levels', '0.3', '--out', at('plain-sweep'), '--json')
    expect(code).toBe(0)
    const methods = JSON.parse(stdout).points.map(({ method }: { method: string }) => method)
    expect(methods).toEqual(['cett', 'teal', 'wina', 'rsparse', 'larosa'])
    const refused = await sweep('plain', '--methods', 'cats,teal', '--out', at('refused'))
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('METHOD_FFN')])
  })

  it.each([
    ['a level out of range', ['--levels', '0.5,1'], 'SPARSITY_RANGE'],
    ['an unknown method', ['--methods', 'magic'], 'cats, chess, cett, teal, wina, rsparse, larosa'],
    ['no text to measure on', ['--tokens', '60000'], 'HELD_OUT_MISSING'],
  ])('refuses %s and writes nothing', async (_, more, message) => {
    const { code, stderr } = await sweep('gated', '--out', at('refused'), ...more)
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
    expect(fs.existsSync(at('refused'))).toBe(false)
  })
})

describe('a model that is laid out with its cuts', () => {
  it('shares its weights with another engine, cuts included', () => {
    const source = openModel(at('cut-teal'))
    const model = new EngineModel(source.config, source, { cuts: source.cuts?.() ?? null })
    const shared = new EngineModel(source.config, model.weights)
    expect(shared.approximate).toBe(true)
    expect(bitsOf(shared.logits(prompt))).toEqual(bitsOf(model.logits(prompt)))
    source.close()
  })
})
