// Data sets of the Hub as tables: the Hub converts every data set to Parquet, on a branch of its own, with a directory for
// each configuration and split.

import path from 'node:path'
import { didYouMean } from '../did-you-mean.js'
import { CheckpointError } from '../errors.js'
import { type DownloadOptions, downloadFiles } from './download.js'
import type { HubFile } from './select-files.js'
import type { HubSettings } from './settings.js'

/** The branch of the converted tables. */
const BRANCH = 'refs/convert/parquet'

export interface DatasetSplit {
  readonly config: string
  readonly split: string
}

export interface DownloadedDataset {
  readonly commit: string
  /** The Parquet files of each split asked for, in order. */
  readonly splits: readonly (readonly string[])[]
}

/**
 * Splits of the data set `owner/name` in the cache. Throws CheckpointError DATASET_SPLIT_MISSING for a split that is not
 * there, and what downloadModel throws.
 */
export async function downloadDataset(
  repo: string,
  splits: readonly DatasetSplit[],
  settings: HubSettings,
  options: DownloadOptions = {},
): Promise<DownloadedDataset> {
  const reference = { kind: 'dataset', repo, revision: BRANCH, wanted: null } as const
  const select = (files: readonly HubFile[]) => {
    const perSplit = splits.map(split => filesOf(repo, split, files))
    return { files: perSplit.flat(), perSplit }
  }
  const { commit, snapshot, selection } = await downloadFiles(reference, select, settings, options)
  return {
    commit,
    splits: selection.perSplit.map(files => files.map(file => path.join(snapshot, ...file.path.split('/')))),
  }
}

function filesOf(repo: string, { config, split }: DatasetSplit, files: readonly HubFile[]): HubFile[] {
  const folder = `${config}/${split}/`
  const found = files.filter(file => file.path.startsWith(folder) && file.path.endsWith('.parquet'))
  if (found.length > 0) return found.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const there = new Set(files.flatMap(file => /^([^/]+\/[^/]+)\/[^/]+\.parquet$/.exec(file.path)?.[1] ?? []))
  const names = [...there].slice(0, 12).join(', ')
  throw new CheckpointError(
    'DATASET_SPLIT_MISSING',
    `the data set ${repo} has no ${config}/${split}.${didYouMean(`${config}/${split}`, [...there])} ` +
      `${names === '' ? 'It has no Parquet files' : `It has ${names}${there.size > 12 ? ', …' : ''}`}`,
  )
}
