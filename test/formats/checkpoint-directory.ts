// Checkpoint directories of the tiny model for tests, and the error that a reader gives.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, expect } from 'vitest'
import { FlickerError } from '../../src/errors.js'
import { writeCheckpoint } from '../../src/formats/huggingface/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { contentOf, temporaryDirectory, tinyConfig } from './tiny-model.js'

export const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let directoriesMade = 0
export const newDirectory = () => path.join(root, `model-${directoriesMade++}`)

export function written(config: ModelConfig, more = {}): string {
  const dir = newDirectory()
  writeCheckpoint(dir, contentOf(config, more))
  return dir
}

export function configOf(dir: string): Record<string, unknown> {
  return JSON.parse(fs.readFileSync(path.join(dir, 'config.json'), 'utf8'))
}

/** A checkpoint whose config.json has these fields changed; undefined removes one. */
export function withConfig(changes: Record<string, unknown>, config = tinyConfig): string {
  const dir = written(config)
  fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ ...configOf(dir), ...changes }))
  return dir
}

export function refusal(action: () => unknown): FlickerError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(FlickerError)
    expect((error as Error).message).not.toMatch(/\n/)
    return error as FlickerError
  }
  throw new Error('nothing was refused')
}
