// Node's permission model, under the name that this version has for it.

/** The flag that turns it on: a process with it reads, writes and starts nothing that other flags do not allow. */
export function permissionFlag(): string | null {
  const known = process.allowedNodeEnvironmentFlags
  return ['--permission', '--experimental-permission'].find(flag => known.has(flag)) ?? null
}

/** The variables that a Node or another interpreter may need to start, and nothing of ours. */
export function startEnvironment(): Record<string, string> {
  const names = ['TZ', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'SystemRoot']
  return Object.fromEntries(names.flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])))
}
