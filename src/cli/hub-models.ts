// `hf:owner/name` wherever a command takes a model: downloaded, with progress, before the command runs.

import type { Command } from 'commander'
import { gigabytes, requireModelMemory, systemMemory } from '../engine/index.js'
import {
  type DownloadPlan,
  type DownloadProgress,
  downloadModel,
  hubSettings,
  isHubReference,
  parseHubReference,
} from '../hub/index.js'
import { type Bar, duration, log, progressBar } from './terminal.js'

/** The path of a model that may be on the Hub. `toRun`: refuse before downloading what will not fit in memory. */
export async function localModel(model: string, toRun = true): Promise<string> {
  if (!isHubReference(model)) return model
  const progress = progressOfDownload()
  try {
    return await downloadModel(parseHubReference(model), hubSettings(), {
      onStart(plan) {
        log(`flicker: ${modelPlanText(plan)}`)
        if (toRun) requireModelMemory(systemMemory, weightsOf(plan), 'in the file')
        progress.start(plan)
      },
      onProgress: progress.show,
    })
  } finally {
    progress.stop()
  }
}

/** A bar for each download that is started. */
export function progressOfDownload() {
  let bar: Bar | undefined
  const megabytes = (bytes: number) => Math.round(bytes / 1e6)
  return {
    start({ total }: DownloadPlan): void {
      bar?.stop()
      bar = progressBar('MB', Math.max(1, megabytes(total)))
    },
    show({ bytes, bytesPerSecond, secondsLeft, file }: DownloadProgress): void {
      const rate = bytesPerSecond === null ? '' : `${gigabytes(bytesPerSecond)}/s`
      const left = secondsLeft === null ? '' : `${duration(secondsLeft)} left`
      bar?.update(megabytes(bytes), [rate, left, file].filter(part => part !== '').join(' · '))
    },
    stop(): void {
      bar?.stop()
    },
  }
}

/** What will be downloaded. */
export function planText({ repo, files, total, missing }: DownloadPlan): string {
  const some = missing < total ? ` (${gigabytes(total - missing)} are there already)` : ''
  return `downloading ${gigabytes(missing)} of ${repo}, ${files.length} ${files.length === 1 ? 'file' : 'files'}${some}`
}

/** The same of a model, and whether it fits. */
export function modelPlanText(plan: DownloadPlan): string {
  const available = systemMemory.available()
  const fits = weightsOf(plan) <= available ? 'fits' : 'does not fit'
  return `${planText(plan)}; the model ${fits} in the ${gigabytes(available)} of memory that are available`
}

/** Bytes of the weights: about what the model takes in memory, as it is in the file. */
function weightsOf({ files }: Pick<DownloadPlan, 'files'>): number {
  return files.reduce((sum, { path, size }) => (/\.(gguf|safetensors)$/.test(path) ? sum + size : sum), 0)
}

/** Replaces `--model hf:…` of a command by the path that it has been downloaded to. */
export async function downloadModelFlags(command: Command): Promise<void> {
  const { model } = command.opts<{ model?: unknown }>()
  const toRun = command.name() !== 'sparsify'
  if (typeof model === 'string' && isHubReference(model)) {
    command.setOptionValueWithSource('model', await localModel(model, toRun), 'cli')
  } else if (Array.isArray(model) && model.some(one => isHubReference(String(one)))) {
    const local: string[] = []
    for (const one of model) local.push(await localModel(String(one), toRun))
    command.setOptionValueWithSource('model', local, 'cli')
  }
}
