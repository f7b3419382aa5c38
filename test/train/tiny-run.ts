// A run small enough for tests: bytes, two layers, a few steps.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { modelSchema, type TrainingData, type TrainRun, trainingSchema } from '../../src/train/index.js'

/** A directory that goes when the test ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'flicker-test-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Text with something to learn: counting, in words and digits. */
export function tinyData(): TrainingData {
  const tokenizer = bytesTokenizer()
  const words = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
  const text = (from: number) =>
    Array.from({ length: 300 }, (_, i) => `${words[(from + i) % 10]} ${(from + 7 * i) % 100}.`).join(' ')
  const tokens = (from: number) => Uint16Array.from(tokenizer.encode(text(from)))
  return { tokenizer, train: tokens(0), validation: tokens(5) }
}

export function tinyRun(directory: string, extra: Partial<TrainRun> = {}): TrainRun {
  return {
    directory,
    model: modelSchema.parse({
      hiddenSize: 16,
      intermediateSize: 40,
      numHiddenLayers: 2,
      numAttentionHeads: 2,
    }),
    strategy: { strategy: 'stocha', p: 0.7, positive: 'identity', to: 'relu', alpha: 0.25 },
    training: trainingSchema.parse({
      steps: 24,
      batchSize: 3,
      context: 16,
      accumulate: 2,
      warmupSteps: 4,
      evalEvery: 8,
      evalTokens: 200,
      checkpointEvery: 5,
      seed: 3,
    }),
    data: tinyData(),
    ...extra,
  }
}
