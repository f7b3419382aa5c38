// How a process is kept from what is not its own. On Linux, where the system lets us, it gets namespaces: no network, no
// process but its own, and a small file system in memory as its directory. Everywhere it gets the shell's resource limits.
// What a language's own runtime refuses (files, processes, sockets) is beside this file, in python.ts and javascript.ts.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { startEnvironment } from '../../node-permission.js'
import type { CodeLimits } from './limits.js'

/** `limits`: resource limits alone. */
export type Isolation = 'namespaces' | 'limits'

export interface IsolatedCommand {
  readonly command: string
  readonly args: readonly string[]
}

/** The address space breaks Node, which reserves more than it uses. */
export type MemoryLimit = 'address space' | 'data'

/**
 * $1 and $2: seconds of processor time, soft and hard; $3: blocks of 512 bytes; $4, $5: memory flag and kilobytes. A limit
 * that cannot be raised to ours is stricter already.
 */
const LIMITS =
  '{ ulimit -c 0; ulimit -H -t "$2"; ulimit -S -t "$1"; ulimit -f "$3"; ulimit -n 64; ulimit "$4" "$5"; shift 5; } 2>/dev/null; '
const OWN_DIRECTORY = 'mount -t tmpfs -o "size=$1,nosuid,nodev" tmpfs "$PWD" && cd "$PWD" || exit 97; shift; '

/** With a user namespace anyone may; without one root may. */
const NAMESPACES = ['--net', '--pid', '--fork', '--kill-child', '--mount', '--ipc', '--uts']
const USER_NAMESPACE = ['--user', '--map-root-user']

/** The command that runs `inner` isolated, in the working directory that it is started in. */
export function isolated(
  inner: readonly string[],
  isolation: Isolation,
  limits: CodeLimits,
  memory: MemoryLimit,
): IsolatedCommand {
  const { cpuSeconds, fileBytes, megabytes, directoryBytes } = limits
  const values = [
    String(cpuSeconds),
    String(cpuSeconds + 1),
    String(Math.ceil(fileBytes / 512)),
    memory === 'data' ? '-d' : '-v',
    String(megabytes * 1024),
  ]
  if (isolation === 'limits') {
    return { command: 'sh', args: ['-c', `${LIMITS}exec "$@"`, 'sh', ...values, ...inner] }
  }
  // The first process of a namespace ignores the signal of the limit of time: that is the shell, not the program.
  const script = `${OWN_DIRECTORY}${LIMITS}"$@"; exit $?`
  return {
    command: 'unshare',
    args: [
      ...(namespaceFlags() ?? []),
      'sh',
      '-c',
      script,
      'sh',
      String(directoryBytes),
      ...values,
      ...inner,
    ],
  }
}

let found: readonly string[] | null | undefined

/** The flags with which `unshare` gives a process all namespaces here; null where it cannot. */
function namespaceFlags(): readonly string[] | null {
  if (found !== undefined) return found
  const candidates = process.platform === 'linux' ? [[...USER_NAMESPACE, ...NAMESPACES], NAMESPACES] : []
  found = candidates.find(works) ?? null
  return found
}

function works(flags: readonly string[]): boolean {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-code-'))
  try {
    const script = `${OWN_DIRECTORY}exec true`
    const { status } = spawnSync('unshare', [...flags, 'sh', '-c', script, 'sh', '65536'], {
      cwd: directory,
      env: { ...startEnvironment(), PATH: process.env.PATH ?? '' },
      stdio: 'ignore',
      timeout: 10_000,
    })
    return status === 0
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** The strongest that this system gives. */
export function bestIsolation(): Isolation {
  return namespaceFlags() === null ? 'limits' : 'namespaces'
}
