// Which files of a repository a model needs: one GGUF file (all its parts), or a directory with safetensors.

import { didYouMean } from '../did-you-mean.js'
import { CheckpointError } from '../errors.js'
import type { HubReference } from './reference.js'

export interface HubFile {
  /** In the repository, with slashes. */
  readonly path: string
  readonly size: number
  /** What its content must hash to: sha256 of a large file, git's sha1 of a small one. */
  readonly hash: { readonly algorithm: 'sha256' | 'git-sha1'; readonly hex: string }
}

/** The type of GGUF that is taken where several are there and none is asked for. */
export const USUAL_TYPE = 'Q4_K_M'

/** Beside the weights in a Hugging Face directory. */
const DIRECTORY_FILES =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)\.json$|^(merges\.txt|tokenizer\.model|chat_template\.jinja|chat_template\.json)$|^additional_chat_templates\/[^/]+\.jinja$/
const WEIGHTS = /^model(-\d{5}-of-\d{5})?\.safetensors$/
const PART = /-(\d{5})-of-(\d{5})\.gguf$/i
/** GGUF files that are no model: projectors of images, importance matrices, draft heads. */
const NO_MODEL = /(^|[/.-])(mmproj|imatrix)/i

/** The files to have, and the one to open: a GGUF file, or null for the directory itself. */
export interface Selection {
  readonly files: readonly HubFile[]
  readonly open: string | null
}

/**
 * Throws CheckpointError: HUB_FILE_MISSING (a file or type that is not there), HUB_NO_MODEL (nothing that Flicker reads).
 */
export function selectFiles({ repo, wanted }: HubReference, files: readonly HubFile[]): Selection {
  const ggufs = files.filter(({ path }) => /\.gguf$/i.test(path) && !NO_MODEL.test(path))
  const hasConfig = files.some(({ path }) => path === 'config.json')
  const weights = files.filter(({ path }) => WEIGHTS.test(path))
  if (wanted === null && hasConfig && weights.length > 0) {
    return {
      files: [...files.filter(({ path }) => DIRECTORY_FILES.test(path)), ...wholeOrShards(weights)],
      open: null,
    }
  }
  if (ggufs.length === 0) {
    const pickled = files.some(({ path }) => /\.(bin|pt|pth)$/.test(path))
    throw new CheckpointError(
      'HUB_NO_MODEL',
      `${repo} has ${wanted === null ? 'neither a GGUF file nor safetensors with a config.json' : 'no GGUF file'}` +
        `${pickled ? '; its weights are pickles, which are not read' : ''}; choose another repository of this model`,
    )
  }
  const first = wanted === null ? usual(repo, ggufs) : named(repo, wanted, ggufs)
  return { files: partsOf(first, ggufs), open: first.path }
}

/** Some repositories have the weights twice. */
function wholeOrShards(weights: readonly HubFile[]): readonly HubFile[] {
  const whole = weights.filter(({ path }) => path === 'model.safetensors')
  return whole.length > 0 ? whole : weights
}

/** Q4_K_M, or the only one that there is. */
function usual(repo: string, ggufs: readonly HubFile[]): HubFile {
  const firsts = firstParts(ggufs)
  const match = firsts.filter(({ path }) => hasType(path, USUAL_TYPE))
  if (match.length > 0) return match[0]
  if (firsts.length === 1) return firsts[0]
  throw new CheckpointError(
    'HUB_FILE_MISSING',
    `${repo} has no ${USUAL_TYPE} file; choose one of its files: ${list(firsts)}, as in hf:${repo}:${firsts[0].path}`,
  )
}

function named(repo: string, wanted: string, ggufs: readonly HubFile[]): HubFile {
  const firsts = firstParts(ggufs)
  const exact = ggufs.find(({ path }) => path === wanted)
  const found = exact ?? firsts.find(({ path }) => !/\.gguf$/i.test(wanted) && hasType(path, wanted))
  if (found !== undefined) return found
  throw new CheckpointError(
    'HUB_FILE_MISSING',
    `${repo} has no ${wanted}.${didYouMean(
      wanted,
      ggufs.map(({ path }) => path),
    )} Its GGUF files: ${list(firsts)}`,
  )
}

/** Whether a file's name says that it is of this type: `model.Q4_K_M.gguf`, `model-q4_k_m-00001-of-00002.gguf`. */
function hasType(path: string, type: string): boolean {
  const stem = path.replace(PART, '').replace(/\.gguf$/i, '')
  const escaped = type.replace(/[^\w]/g, '\\$&')
  return new RegExp(`(^|[-./])${escaped}$`, 'i').test(stem)
}

function firstParts(ggufs: readonly HubFile[]): HubFile[] {
  return ggufs.filter(({ path }) => Number(PART.exec(path)?.[1] ?? 1) === 1)
}

/** All parts of the model that `file` is of, the file itself where it is whole. */
function partsOf(file: HubFile, ggufs: readonly HubFile[]): HubFile[] {
  const match = PART.exec(file.path)
  if (match === null) return [file]
  const stem = file.path.slice(0, match.index)
  return ggufs.filter(({ path }) => PART.exec(path)?.[2] === match[2] && path.replace(PART, '') === stem)
}

function list(files: readonly HubFile[]): string {
  const shown = files.slice(0, 12).map(({ path }) => path)
  return `${shown.join(', ')}${files.length > shown.length ? ` and ${files.length - shown.length} more` : ''}`
}
