// Where the Hub and its cache are, from the environment variables that Python's huggingface_hub reads too.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export interface HubSettings {
  /** Address without a slash at its end. */
  readonly endpoint: string
  /** The directory of `models--owner--name` directories. */
  readonly cache: string
  readonly token: string | null
  /** Nothing is fetched; what is in the cache is used. */
  readonly offline: boolean
}

export function hubSettings(environment: NodeJS.ProcessEnv = process.env): HubSettings {
  const set = (name: string) => (environment[name] === '' ? undefined : environment[name])
  const yes = (name: string) => /^(1|true|yes|on)$/i.test(environment[name] ?? '')
  const home =
    set('HF_HOME') ?? path.join(set('XDG_CACHE_HOME') ?? path.join(os.homedir(), '.cache'), 'huggingface')
  const tokenFile = set('HF_TOKEN_PATH') ?? path.join(home, 'token')
  return {
    endpoint: (set('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, ''),
    cache: set('HF_HUB_CACHE') ?? set('HUGGINGFACE_HUB_CACHE') ?? path.join(home, 'hub'),
    token: set('HF_TOKEN') ?? savedToken(tokenFile),
    offline: yes('HF_HUB_OFFLINE') || yes('TRANSFORMERS_OFFLINE'),
  }
}

/** What `hf auth login` has saved. */
function savedToken(file: string): string | null {
  try {
    const token = fs.readFileSync(file, 'utf8').trim()
    return token === '' ? null : token
  } catch {
    return null
  }
}
