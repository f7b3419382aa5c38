// Whether a model or a cache fits into memory: refused before it is allocated, with both sizes and what to do instead.

import { freemem } from 'node:os'
import { OptionError } from '../../errors.js'
import { type CacheType, cacheRowBytes } from '../../kernels/index.js'
import { headDimOf, type ModelConfig } from '../../nn/config.js'

/** How much memory may still be allocated. */
export interface Memory {
  /** Bytes. */
  available(): number
}

/** What the system has free, within the limits of the process's control group. */
export const systemMemory: Memory = {
  available: () => Math.min(freemem(), process.availableMemory()),
}

/** What every cache of one model has in common. */
export interface CacheKind {
  readonly config: ModelConfig
  readonly type: CacheType
  readonly memory: Memory
}

/** Bytes of keys and values of one position, all layers. */
export function cacheBytesPerPosition({ config, type }: Pick<CacheKind, 'config' | 'type'>): number {
  const rows = 2 * config.numHiddenLayers * config.numKeyValueHeads
  return rows * cacheRowBytes(type, headDimOf(config))
}

/**
 * Throws OptionError CACHE_MEMORY unless there is memory for the caches of `sequences` sequences of `tokens` positions
 * each, beside a prefix that they share.
 */
export function requireCacheMemory(
  kind: CacheKind,
  { tokens, sequences }: { readonly tokens: number; readonly sequences: number },
): void {
  const needed = tokens * sequences * cacheBytesPerPosition(kind)
  const available = kind.memory.available()
  if (needed <= available) return
  throw new OptionError(
    'CACHE_MEMORY',
    `a cache for ${tokens} tokens × ${sequences} ${sequences === 1 ? 'sequence' : 'sequences'} needs ` +
      `${gigabytes(needed)}, ${gigabytes(available)} are available; use ${smallerCache(kind.type)}a shorter context`,
  )
}

/** Throws OptionError MODEL_MEMORY unless `bytes` of weights, stored as `dtype`, fit. */
export function requireModelMemory(memory: Memory, bytes: number, dtype: string): void {
  const available = memory.available()
  if (bytes <= available) return
  throw new OptionError(
    'MODEL_MEMORY',
    `the model needs ${gigabytes(bytes)} as ${dtype}, ${gigabytes(available)} are available; ` +
      `${dtype === 'q4_0' || dtype === 'q4_k' ? 'use a smaller model' : 'use --dtype q8_0 or q4_0'}`,
  )
}

function smallerCache(type: CacheType): string {
  return { f32: '--kv f16, --kv q8 or ', f16: '--kv q8 or ', q8: '' }[type]
}

/** `3.1 GB`; below that `12 MB`. */
export function gigabytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toPrecision(3)} GB`
  return `${Math.max(0, bytes / 1e6).toPrecision(3)} MB`
}
