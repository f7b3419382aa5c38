// Which files a model consists of, and how they come into the worker: mounted under one directory, as Node would find them
// on a disk.

import { CheckpointError, OptionError } from '../errors.js'
import { type DownloadRequest, download, fileName } from './download.js'
import { blobSource, mountFile } from './files.js'

/** A file with the name that the model's other files know it by. */
export interface NamedFile {
  readonly name: string
  readonly blob: Blob
}

/** What the worker is given. */
export type ModelLocation =
  | { readonly kind: 'url'; readonly url: string; readonly tokenizer?: string | Blob }
  | { readonly kind: 'files'; readonly files: readonly NamedFile[]; readonly tokenizer?: string | Blob }

export type DownloadOptions = Pick<DownloadRequest, 'cache' | 'signal' | 'onProgress'> & {
  /** By name of the file. */
  readonly sha256: Readonly<Record<string, string>>
}

/** Of a Hugging Face directory: those that may be missing, beside config.json and the weights. */
const OPTIONAL_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'generation_config.json',
  'chat_template.jinja',
]
const OLDER_TOKENIZERS = ['tokenizer.model', 'vocab.json', 'merges.txt', 'added_tokens.json']
const WEIGHTS = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
const CUTS = 'cuts.safetensors'

let models = 0

/** Where the model is mounted, and its tokenizer where that is a file of its own. */
export interface MountedModel {
  readonly path: string
  readonly tokenizer?: string
}

/** Throws as `download` does, and CheckpointError CHECKPOINT_FILE_MISSING, OptionError MODEL_URL, MODEL_FILES. */
export async function mountModel(location: ModelLocation, options: DownloadOptions): Promise<MountedModel> {
  const root = models++ === 0 ? '' : `/${models}`
  const model =
    location.kind === 'url' ? await mountUrl(root, location.url, options) : mountFiles(root, location.files)
  const { tokenizer } = location
  if (tokenizer === undefined) return model
  if (typeof tokenizer === 'string') {
    const path = `${root}/tokenizer/${fileName(tokenizer)}`
    await fetchTo(path, tokenizer, options)
    return { ...model, tokenizer: path }
  }
  const path = `${root}/tokenizer/${'name' in tokenizer ? String(tokenizer.name) : 'tokenizer.json'}`
  mountFile(path, blobSource(tokenizer))
  return { ...model, tokenizer: path }
}

async function mountUrl(root: string, given: string, options: DownloadOptions): Promise<MountedModel> {
  const { url, file } = modelUrl(given)
  if (file) {
    const name = fileName(url)
    const path = `${root}/${name}`
    await fetchTo(path, url, options)
    const parts = /^(.*)-00001-of-(\d{5})\.gguf$/.exec(name)
    for (let part = 2; parts !== null && part <= Number(parts[2]); part++) {
      const next = `${parts[1]}-${String(part).padStart(5, '0')}-of-${parts[2]}.gguf`
      await fetchTo(`${root}/${next}`, sibling(url, next), options)
    }
    if (name.endsWith('.bin')) {
      await fetchTo(`${root}/tokenizer.bin`, sibling(url, 'tokenizer.bin'), options, true)
    }
    return { path }
  }
  const directory = `${root}/${fileName(url.replace(/\/$/, '')) || 'model'}`
  const get = (name: string, optional = false) =>
    fetchTo(`${directory}/${name}`, sibling(url, name), options, optional)
  const config = await get('config.json')
  let tokenizer = false
  for (const name of OPTIONAL_FILES) {
    const found = await get(name, true)
    if (name === 'tokenizer.json') tokenizer = found !== null
  }
  if (!tokenizer) for (const name of OLDER_TOKENIZERS) await get(name, true)
  if (config !== null && /"sparsity"/.test(await config.text())) await get(CUTS, true)
  const index = await get(INDEX, true)
  if (index === null) {
    await get(WEIGHTS)
  } else {
    for (const shard of shardNames(await index.text(), url)) await get(shard)
  }
  return { path: directory }
}

/** Names that the index gives: only those of files in the same directory are fetched. */
function shardNames(index: string, url: string): Set<string> {
  try {
    const { weight_map } = JSON.parse(index) as { weight_map: Record<string, string> }
    return new Set(Object.values(weight_map).filter(name => /^[\w.-]+\.safetensors$/.test(name)))
  } catch (cause) {
    const message = `${sibling(url, INDEX)} is no index of safetensors files`
    throw new CheckpointError('SHARD_INDEX_INVALID', message, { cause })
  }
}

function mountFiles(root: string, files: readonly NamedFile[]): MountedModel {
  const names = files.map(({ name }) => name)
  const model =
    names.find(name => /\.gguf$/.test(name) && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(name)) ??
    names.find(name => name === 'config.json') ??
    names.find(name => name.endsWith('.bin') && name !== 'tokenizer.bin') ??
    (files.length === 1 ? names[0] : undefined)
  if (model === undefined) {
    throw new OptionError(
      'MODEL_FILES',
      `none of these files is a model: ${names.slice(0, 8).join(', ') || 'no files'}; choose a .gguf file, llama2.c's ` +
        'model.bin with its tokenizer.bin, or all files of a directory with config.json and model.safetensors',
    )
  }
  const directory = `${root}${model === 'config.json' ? '/model' : ''}`
  for (const { name, blob } of files) mountFile(`${directory}/${name}`, blobSource(blob))
  return { path: model === 'config.json' ? directory : `${directory}/${model}` }
}

const HUB = /^hf:([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?(?::([\w./-]+\.gguf))?$/

/** The URL of a file, or of a directory, which ends with a slash. Throws OptionError MODEL_URL. */
function modelUrl(given: string): { url: string; file: boolean } {
  const hub = HUB.exec(given)
  if (hub !== null) {
    const [, name, revision = 'main', file = ''] = hub
    return { url: `https://huggingface.co/${name}/resolve/${revision}/${file}`, file: file !== '' }
  }
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw new OptionError(
      'MODEL_URL',
      `${JSON.stringify(given)} is no URL of a model; give that of a .gguf or .bin file, that of a directory with ` +
        'config.json, or hf:owner/name',
    )
  }
  const file = /\.(gguf|bin)$/.test(url.pathname)
  if (!file && !url.pathname.endsWith('/')) {
    if (/\.\w{2,12}$/.test(url.pathname)) return { url: url.href, file: true }
    url.pathname += '/'
  }
  return { url: url.href, file }
}

function sibling(url: string, name: string): string {
  const other = new URL(name, url)
  other.search = new URL(url).search
  return other.href
}

/** Null for a file that the server does not have, with `optional`. */
async function fetchTo(
  path: string,
  url: string,
  { sha256, ...options }: DownloadOptions,
  optional = false,
): Promise<Blob | null> {
  const blob = await download({ ...options, url, sha256: sha256[fileName(url)] }, optional)
  if (blob !== null) mountFile(path, blobSource(blob))
  return blob
}
