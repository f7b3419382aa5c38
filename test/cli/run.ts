// Runs the built command line as a user's shell does.

import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'

const main = path.resolve('dist/cli/main.js')

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

export interface Running {
  child: ChildProcess
  finished: Promise<Finished>
}

export function start(args: string[], options: { cwd?: string; env?: Record<string, string> } = {}): Running {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', chunk => {
    output.stdout += chunk
  })
  child.stderr?.on('data', chunk => {
    output.stderr += chunk
  })
  const finished = new Promise<Finished>(resolve => child.on('close', code => resolve({ code, ...output })))
  return { child, finished }
}

export function flicker(
  args: string[],
  options?: { cwd?: string; env?: Record<string, string> },
): Promise<Finished> {
  return start(args, options).finished
}
