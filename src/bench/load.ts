// How long loading a model takes beside reading its file once, both from the page cache, and how much memory it takes beside
// what the model needs.

import fs from 'node:fs'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { EngineModel } from '../engine/index.js'
import { type EngineDtype, WeightLayout } from '../engine/model/weight-layout.js'
import type { WrittenDtype } from '../formats/gguf/mixes.js'
import { openModel, writeGguf } from '../formats/index.js'
import { encodeStored, type StoredDtype, storedBytes } from '../formats/stored.js'
import type { WeightType } from '../kernels/index.js'
import { Purpose, RandomStream } from '../kernels/philox.js'
import type { ModelConfig } from '../nn/config.js'
import { parameterShapes } from '../nn/parameters.js'
import { type MedianInterval, medianInterval } from '../paired-measurement.js'
import { median } from '../statistics.js'
import { type DecodeShape, randomConfig, WEIGHT_STD } from './random-model.js'

export interface LoadBench {
  readonly file: string
  readonly fileBytes: number
  /** Seconds, medians of alternating runs: the file read into memory that is new, as a model is, and piece by piece through a buffer. */
  readonly readSeconds: number
  readonly piecesSeconds: number
  readonly loadSeconds: number
  /** Loading over reading into new memory, and over reading piece by piece, run by run. */
  readonly ratio: MedianInterval
  readonly overPieces: MedianInterval
  /** Bytes: the model in memory, its largest tensor in the file, and the most that the process grew by in its first load. */
  readonly modelBytes: number
  readonly largestTensor: number
  readonly peakBytes: number
}

/** At most: loading over reading once, into new memory. */
export const LOAD_LIMIT = 1.5

/** `file`: of a model in one file. */
export function benchLoad(
  file: string,
  { dtype = 'auto', runs = 5 }: { dtype?: EngineDtype; runs?: number },
): LoadBench {
  const { size } = fs.statSync(file)
  const read = () => {
    const fd = fs.openSync(file, 'r')
    const whole = new Uint8Array(size)
    for (let done = 0, got = -1; got !== 0; done += got)
      got = fs.readSync(fd, whole, done, Math.min(1 << 30, size - done), null)
    fs.closeSync(fd)
  }
  const readPieces = () => {
    const fd = fs.openSync(file, 'r')
    for (let got = -1; got !== 0; ) got = fs.readSync(fd, buffer, 0, buffer.length, null)
    fs.closeSync(fd)
  }
  const load = () => {
    const source = openModel(file)
    new EngineModel(source.config, source, { dtype })
    source.close()
  }
  const buffer = new Uint8Array(1 << 22)
  readPieces()
  const before = process.memoryUsage().rss
  load()
  const peakBytes = 1024 * process.resourceUsage().maxRSS - before
  const times = Array.from(
    { length: runs },
    () => [seconds(read), seconds(readPieces), seconds(load)] as const,
  )
  const source = openModel(file)
  const sizes = source.names.map(name => {
    const { dtype: stored, shape } = source.info(name)
    return storedBytes(
      stored as StoredDtype,
      shape.reduce((a, b) => a * b, 1),
    )
  })
  const modelBytes = new WeightLayout(source.config, source, dtype).bytes
  source.close()
  return {
    file,
    fileBytes: size,
    readSeconds: median(times.map(([whole]) => whole)),
    piecesSeconds: median(times.map(([, pieces]) => pieces)),
    loadSeconds: median(times.map(([, , load]) => load)),
    ratio: medianInterval(times.map(([whole, , load]) => load / whole)),
    overPieces: medianInterval(times.map(([, pieces, load]) => load / pieces)),
    ...{ modelBytes, largestTensor: Math.max(...sizes), peakBytes },
  }
}

function seconds(work: () => void): number {
  const start = performance.now()
  work()
  return (performance.now() - start) / 1000
}

/** Writes a GGUF file of this shape with random weights, a stretch of them again and again; `other`: of its config. */
export function writeRandomModel(
  file: string,
  shape: DecodeShape,
  dtype: WrittenDtype,
  tokenizer: Tokenizer | null = null,
  other: Partial<ModelConfig> = {},
): void {
  const config = { ...randomConfig(shape, 0, 2048), ...other }
  const shapes = new Map(parameterShapes(config).map(({ name, shape: own }) => [name, own]))
  const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream: 0 })
  const values = Float32Array.from({ length: 1 << 18 }, () => WEIGHT_STD * 3.4 * (random.uniform() - 0.5))
  const pools = new Map<WeightType, Uint8Array>()
  writeGguf(file, {
    config,
    tokenizer,
    dtype,
    tensor: name => new Float32Array((shapes.get(name) ?? []).reduce((a, b) => a * b, 1)).fill(1),
    bytes(name, stored) {
      const own = shapes.get(name) ?? []
      if (own.length === 1) return null
      const pool = pools.get(stored) ?? encodeStored(stored, values)
      pools.set(stored, pool)
      const out = new Uint8Array(
        storedBytes(
          stored,
          own.reduce((a, b) => a * b),
        ),
      )
      for (let at = 0; at < out.length; at += pool.length) out.set(pool.subarray(0, out.length - at), at)
      return out
    },
  })
}
