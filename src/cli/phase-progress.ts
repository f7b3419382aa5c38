// Progress of work in phases: a bar for each in turn.

import { progressBar } from './terminal.js'

/** A bar for each phase in turn. */
export function phaseProgress() {
  let bar: ReturnType<typeof progressBar> | undefined
  let phase = ''
  const stop = () => bar?.stop()
  return {
    stop,
    onProgress(label: string, done: number, all: number) {
      if (label !== phase) {
        stop()
        phase = label
        bar = progressBar(label, all)
      }
      bar?.update(done, `${done} of ${all}`)
    },
  }
}
