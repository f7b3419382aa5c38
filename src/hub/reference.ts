// `hf:owner/name[@revision][:file.gguf|:TYPE]`: a model on the Hugging Face Hub.

import { OptionError } from '../errors.js'
import { shown } from '../schema-issues.js'

export interface HubReference {
  readonly kind: 'model' | 'dataset'
  /** `owner/name`. */
  readonly repo: string
  /** A branch, a tag or a commit. Default: main. */
  readonly revision: string
  /** A GGUF file of the repository, or a type such as `Q5_K_M`; null: what the repository has, see select-files.ts. */
  readonly wanted: string | null
}

const PREFIX = 'hf:'
const PATTERN = /^([\w.-]+\/[\w.-]+)(?:@([\w.-]+(?:\/[\w.-]+)*))?(?::([^:@\\]+))?$/

export function isHubReference(text: string): boolean {
  return text.startsWith(PREFIX)
}

/** Throws OptionError HUB_REFERENCE. */
export function parseHubReference(text: string): HubReference {
  const match = PATTERN.exec(isHubReference(text) ? text.slice(PREFIX.length) : text)
  const parts = text.split(/[/:@]/)
  if (match !== null && !parts.some(part => part === '.' || part === '..')) {
    const [, repo, revision = 'main', wanted = null] = match
    return { kind: 'model', repo, revision, wanted }
  }
  throw new OptionError(
    'HUB_REFERENCE',
    `${shown(text)} names no model on the Hub: give hf:owner/name, hf:owner/name:Q4_K_M, ` +
      'hf:owner/name:file.gguf or hf:owner/name@revision',
  )
}
