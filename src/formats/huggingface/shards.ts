// The weights of a Hugging Face directory: one model.safetensors, or the shards that
// model.safetensors.index.json names.

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { didYouMean } from '../../did-you-mean.js'
import { CheckpointError } from '../../errors.js'
import { readJsonFile } from '../json.js'
import { openSafetensors, quoted, type TensorSource } from '../safetensors.js'

export const WEIGHTS_FILE = 'model.safetensors'
const INDEX_FILE = 'model.safetensors.index.json'
const PICKLED_FILES = ['pytorch_model.bin', 'pytorch_model.bin.index.json']

/** Tables that older programs saved beside the weights; a model computes them. */
export const ROTARY_TABLES = /rotary_emb\.(inv_freq|cos_cached|sin_cached)$/

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/**
 * Opens the weights in `directory`. Throws CheckpointError: CHECKPOINT_FILE_MISSING, SHARD_INDEX_INVALID, and what
 * openSafetensors throws.
 */
export function openWeights(directory: string): TensorSource {
  const indexFile = path.join(directory, INDEX_FILE)
  const single = path.join(directory, WEIGHTS_FILE)
  if (fs.existsSync(single)) return openSafetensors(single)
  if (fs.existsSync(indexFile)) return openShards(directory, indexFile)
  const pickled = PICKLED_FILES.find(name => fs.existsSync(path.join(directory, name)))
  if (pickled === undefined) return openSafetensors(single)
  throw new CheckpointError(
    'CHECKPOINT_FILE_MISSING',
    `${single} is missing; ${pickled} beside it is a pickle, which is not read: save the model with safe_serialization`,
  )
}

function openShards(directory: string, indexFile: string): TensorSource {
  const invalid = (message: string) => new CheckpointError('SHARD_INDEX_INVALID', `${indexFile}: ${message}`)
  const { weight_map } = readJsonFile(indexFile, indexSchema, 'SHARD_INDEX_INVALID')
  const shardOf = new Map(Object.entries(weight_map))

  const shards = new Map<string, TensorSource>()
  const found = new Set<string>()
  const close = () => {
    for (const shard of shards.values()) shard.close()
  }
  try {
    for (const shardName of new Set(shardOf.values())) {
      // A shard is a file of this directory: a path from outside could name any file of the machine.
      if (!/^[\w.-]+\.safetensors$/.test(shardName)) {
        throw invalid(`${quoted(shardName)} is not the name of a safetensors file in this directory`)
      }
      const shard = openSafetensors(path.join(directory, shardName))
      shards.set(shardName, shard)
      for (const name of shard.names) {
        found.add(name)
        if (shardOf.get(name) !== shardName) {
          throw invalid(`tensor ${quoted(name)} lies in ${shardName}, but the index does not say so`)
        }
      }
    }
    for (const [name, shardName] of shardOf) {
      if (found.has(name)) continue
      if (ROTARY_TABLES.test(name)) shardOf.delete(name)
      else {
        throw new CheckpointError(
          'TENSOR_MISSING',
          `${indexFile}: ${shardName} has no tensor ${quoted(name)}`,
        )
      }
    }
  } catch (error) {
    close()
    throw error
  }

  const names = [...shardOf.keys()]
  const shardWith = (name: string): TensorSource => {
    const shardName = shardOf.get(name)
    if (shardName !== undefined) return shards.get(shardName)!
    throw new CheckpointError(
      'TENSOR_MISSING',
      `${indexFile} has no tensor ${quoted(name)}.${didYouMean(name, names)}`,
    )
  }
  return {
    names,
    info(name) {
      return shardWith(name).info(name)
    },
    readFloat32(name) {
      return shardWith(name).readFloat32(name)
    },
    readBytes(name) {
      return shardWith(name).readBytes(name)
    },
    reader(name) {
      return shardWith(name).reader(name)
    },
    close,
  }
}
