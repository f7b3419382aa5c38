// metrics.jsonl for other programs: metrics.csv, and an event file that TensorBoard opens. Each is written again from what a resumed
// run has recorded, and then grows with it.

import fs from 'node:fs'
import path from 'node:path'
import { storageError, writeFileAtomic } from '../formats/index.js'
import type { Metrics } from './metrics.js'
import { scalarRecord, versionRecord } from './tensorboard.js'

export const METRICS_EXPORTS = ['tensorboard', 'csv'] as const
export type MetricsExport = (typeof METRICS_EXPORTS)[number]

/** Values by name; `train/` per step, `heldout/` per measurement. */
function scalarsOf(metrics: Metrics): Record<string, number> {
  if (metrics.kind === 'step') {
    const { loss, learningRate, gradNorm, seconds, penalty, active } = metrics
    return {
      'train/loss': loss,
      'train/learning_rate': learningRate,
      'train/grad_norm': gradNorm,
      'train/seconds': seconds,
      ...(penalty !== undefined && { 'train/penalty': penalty }),
      ...(active !== undefined && { 'train/active': active }),
    }
  }
  const { loss, bitsPerByte, sparsity, deadNeurons } = metrics
  return {
    'heldout/loss': loss,
    'heldout/bits_per_byte': bitsPerByte,
    'heldout/zeros': sparsity.reduce((sum, value) => sum + value, 0) / sparsity.length,
    ...Object.fromEntries(sparsity.map((value, layer) => [`zeros/layer_${layer}`, value])),
    ...(deadNeurons !== undefined && {
      'heldout/dead_neurons': deadNeurons.reduce((sum, dead) => sum + dead, 0),
    }),
  }
}

const CSV_COLUMNS = [
  'train/loss',
  'train/learning_rate',
  'train/grad_norm',
  'train/seconds',
  'train/penalty',
  'train/active',
  'heldout/loss',
  'heldout/bits_per_byte',
  'heldout/zeros',
  'heldout/dead_neurons',
]

function csvLine(metrics: Metrics): string {
  const scalars = scalarsOf(metrics)
  const cells = CSV_COLUMNS.map(name => (scalars[name] === undefined ? '' : String(scalars[name])))
  // Settings of an activation are separated by commas.
  return `${[metrics.step, JSON.stringify(metrics.activation).replaceAll('\\"', '""'), ...cells].join(',')}\n`
}

/** Writes one export of a run; `lines` are those recorded so far. Returns what appends a line. Throws StorageError. */
export function exportMetrics(
  kind: MetricsExport,
  directory: string,
  lines: readonly Metrics[],
): (metrics: Metrics) => void {
  if (kind === 'csv') {
    const file = path.join(directory, 'metrics.csv')
    const header = `${['step', 'activation', ...CSV_COLUMNS.map(name => name.replace('/', '_'))].join(',')}\n`
    writeFileAtomic(file, header + lines.map(csvLine).join(''))
    return metrics => append(file, csvLine(metrics))
  }
  const file = path.join(directory, 'events.out.tfevents.0000000000.flicker')
  // The log has no times of day: steps that were taken before are put before now, as long as they took.
  const took = (metrics: Metrics) => (metrics.kind === 'step' ? metrics.seconds : 0)
  let time = Date.now() / 1000 - lines.reduce((sum, metrics) => sum + took(metrics), 0)
  const recordOf = (metrics: Metrics, now: number) => scalarRecord(metrics.step, now, scalarsOf(metrics))
  const records = [versionRecord(time)]
  for (const metrics of lines) {
    time += took(metrics)
    records.push(recordOf(metrics, time))
  }
  writeFileAtomic(file, Buffer.concat(records))
  return metrics => append(file, recordOf(metrics, Date.now() / 1000))
}

function append(file: string, content: string | Uint8Array): void {
  try {
    fs.appendFileSync(file, content)
  } catch (cause) {
    throw storageError(cause, file, content.length)
  }
}
