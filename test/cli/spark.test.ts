// A Spark model from the command line: trained, gone on with, generated with, converted, and what is refused.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openModel } from '../../src/formats/index.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { flickerHere } from './in-process.js'

const cwd = temporaryDirectory()
afterAll(() => fs.rmSync(cwd, { recursive: true }))
const at = (name: string) => path.join(cwd, name)
fs.writeFileSync(
  at('corpus.txt'),
  Array.from({ length: 300 }, (_, i) => `line ${i}: ${i * i} is the square of ${i}`).join('\n'),
)

const small =
  '--steps 60 --hidden-size 32 --intermediate-size 72 --num-hidden-layers 2 --num-attention-heads 2 --batch-size 4 ' +
  '--context 32 --eval-every 30 --eval-tokens 256 --learning-rate 0.01 --warmup-steps 5'
const train = (out: string, ...more: string[]) =>
  flickerHere(['train', '--out', at(out), '--corpus', at('corpus.txt'), ...small.split(' '), ...more])

describe('flicker train --ffn spark', () => {
  it('learns, keeps about 8 % of its neurons, and generates the same text dense, sparse and from GGUF', async () => {
    const trained = await train('run', '--ffn', 'spark', '--json')
    expect(trained.code, trained.stderr).toBe(0)
    const { checkpoint, evaluations } = JSON.parse(trained.stdout) as {
      checkpoint: string
      evaluations: { loss: number; sparsity: number[] }[]
    }
    // Bytes drawn at random would cost ln 256 = 5.5.
    expect(evaluations[evaluations.length - 1].loss).toBeLessThan(3)
    for (const share of evaluations[evaluations.length - 1].sparsity) {
      expect(share).toBeGreaterThan(0.8)
      expect(share).toBeLessThan(0.97)
    }
    const { ffn, activation } = JSON.parse(
      fs.readFileSync(path.join(checkpoint, 'config.json'), 'utf8'),
    ).flicker
    expect([ffn, activation]).toEqual(['spark', 'stat-topk:k=0.08,act=gelu'])

    const generate = async (model: string, ...more: string[]) => {
      const prompt = ['--prompt', 'line 7: ', '--max-tokens', '24']
      const { code, stdout, stderr } = await flickerHere(['generate', '--model', model, ...prompt, ...more])
      expect(code, stderr).toBe(0)
      return stdout
    }
    const text = await generate(at('run'))
    expect(await generate(at('run'), '--ffn', 'dense')).toBe(text)
    expect(await generate(at('run'), '--ffn', 'sparse')).toBe(text)
    const converted = await flickerHere(['convert', at('run'), at('run.gguf'), '--json'])
    expect(converted.code, converted.stderr).toBe(0)
    expect(JSON.parse(converted.stdout).notes).toEqual([
      expect.stringContaining('llama.cpp runs no spark FFN'),
    ])
    expect(await generate(at('run.gguf'))).toBe(text)
  })

  it('takes another activation and another split, which a conversion to blocks of 32 names', async () => {
    const trained = await train(
      'narrow',
      '--ffn',
      'spark',
      '--activation',
      'relu',
      '--spark-predictor-width',
      '12',
    )
    expect(trained.code, trained.stderr).toBe(0)
    const model = openModel(at('narrow'))
    expect(model.config).toMatchObject({ ffn: 'spark', activation: 'relu', sparkPredictorWidth: 12 })
    expect(model.info('model.layers.1.mlp.gate_proj.weight').shape).toEqual([72, 12])
    expect(model.info('model.layers.1.mlp.up_proj.weight').shape).toEqual([72, 20])
    model.close()
    const converted = await flickerHere(['convert', at('narrow'), at('n.gguf'), '--dtype', 'q8_0', '--json'])
    expect(JSON.parse(converted.stdout).notes).toContainEqual(
      expect.stringMatching(
        /gate_proj \(12\), up_proj \(20\), down_proj \(72\) are not multiples of 32.*f16 instead of q8_0/,
      ),
    )
  })

  it('refuses a predictor that does not fit, by its flag', async () => {
    for (const [flags, says] of [
      [['--ffn', 'spark', '--spark-predictor-width', '32'], 'from 1 to 31'],
      [['--ffn', 'spark', '--spark-predictor-width', '0'], '--spark-predictor-width'],
      [['--ffn', 'gated', '--spark-predictor-width', '8'], 'is for ffn spark alone, and ffn is gated'],
      [['--ffn', 'sparks'], 'gated, plain, drelu, spark'],
    ] as const) {
      const { code, stdout, stderr } = await train('refused', ...flags)
      expect([code, stdout], stderr).toEqual([2, ''])
      expect(stderr).toContain(says)
    }
    expect(fs.existsSync(at('refused'))).toBe(false)
  })
})
