// `flicker models`: what the Hub's cache has, downloading into it, deleting from it.

import { Command } from 'commander'
import { gigabytes } from '../engine/index.js'
import { cachedModels, hubSettings, parseHubReference, removeCachedModel } from '../hub/index.js'
import { localModel } from './hub-models.js'
import { jsonOption } from './options.js'
import { print, printJson } from './terminal.js'

export function modelsCommand(): Command {
  const command = new Command('models')
    .description('models of the Hugging Face Hub on this machine: list, download, remove')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Wherever a command takes a model, hf:owner/name is one on the Hub. It is downloaded once, into the cache that Python's
huggingface_hub uses too: a GGUF file (Q4_K_M, another type with hf:owner/name:Q8_0, or a file by its name), or, where there
are safetensors, the files of a Hugging Face directory. An interrupted download is resumed, and every file is checked
by its hash. HF_HOME moves the cache, HF_TOKEN is for private and gated models, HF_ENDPOINT names another server, and with
HF_HUB_OFFLINE=1 only the cache is used.

Examples:
  flicker models
  flicker models download hf:owner/name:Q8_0
  flicker models remove owner/name
  flicker generate --model hf:owner/name@main:model.gguf --prompt "Once upon a time"`,
    )
    .action(({ json }: { json?: boolean }) => list(json === true))
  command
    .command('download')
    .description('fetch a model, and print where it is')
    .argument('<model>', 'hf:owner/name[@revision][:file.gguf|:TYPE]')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  flicker models download hf:owner/name:Q4_K_M')
    .action(async (model: string, { json }: { json?: boolean }) => {
      const { repo, revision, wanted } = parseHubReference(model)
      const path = await localModel(`hf:${repo}@${revision}${wanted === null ? '' : `:${wanted}`}`, false)
      if (json === true) printJson({ repo, path })
      else print(path)
    })
  command
    .command('remove')
    .description('delete a model from the cache')
    .argument('<model>', 'owner/name')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  flicker models remove owner/name')
    .action((model: string, { json }: { json?: boolean }) => {
      const { repo, bytes, directory } = removeCachedModel(hubSettings().cache, parseHubReference(model).repo)
      if (json === true) printJson({ repo, bytes, directory })
      else print(`${repo} removed, ${gigabytes(bytes)}`)
    })
  return command
}

function list(json: boolean): void {
  const { cache } = hubSettings()
  const models = cachedModels(cache)
  if (json) {
    printJson({ cache, models })
    return
  }
  for (const { repo, bytes, incompleteBytes, files } of models) {
    const partly = incompleteBytes > 0 ? `, ${gigabytes(incompleteBytes)} of it not complete` : ''
    print(`${gigabytes(bytes).padStart(8)}  ${repo}${partly}`)
    const weights = files.filter(file => /\.(gguf|safetensors)$/.test(file))
    for (const file of weights) print(`          ${file}`)
  }
  const total = models.reduce((sum, { bytes }) => sum + bytes, 0)
  print(`${models.length} ${models.length === 1 ? 'model' : 'models'}, ${gigabytes(total)}, in ${cache}`)
}
