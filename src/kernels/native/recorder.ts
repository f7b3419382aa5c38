// Kernel calls that are made once as always, and then again many in one call: native/recorded_calls.h.

import type { CallRecorder } from '../interface/recorder.js'
import { loadAddon } from './find-addon.js'

interface RecordingFunctions {
  newRecording(): object
  beginSection(recording: object): void
  endSection(wanted: boolean): number
  replay(
    recording: object,
    sections: Int32Array,
    count: number,
    position: number,
    results: Float64Array,
  ): number
}

/** What the calls of the section that is being recorded were given; null while none is. */
let arguments_: unknown[][] | null = null
let repeatable = true

/** Told of every native call: while one is recorded, its arrays must not be collected. */
export function keepArguments(args: unknown[]): void {
  arguments_?.push(args)
}

/** To be called where a kernel computes in TypeScript: a section with it cannot be repeated by native code. */
export function cannotBeRepeated(): void {
  repeatable = false
}

/** A recorder of the native kernels' calls, those of any instruction set. Null where the addon has none. */
export function nativeCallRecorder(): CallRecorder | null {
  const addon = loadAddon() as unknown as RecordingFunctions | null
  if (typeof addon?.replay !== 'function') return null
  const recording = addon.newRecording()
  const kept: unknown[][][] = []
  let results = new Float64Array(0)
  /** Calls of the longest section. */
  let most = 0
  return {
    record(body) {
      const own: unknown[][] = []
      addon.beginSection(recording)
      arguments_ = own
      repeatable = true
      let section = -1
      let completed = false
      try {
        body()
        completed = true
      } finally {
        arguments_ = null
        section = addon.endSection(completed && repeatable)
      }
      if (section === -1) return null
      kept.push(own)
      most = Math.max(most, own.length)
      return section
    },
    replay(sections, count, position) {
      if (results.length < count * most) results = new Float64Array(2 * count * most)
      addon.replay(recording, sections, count, position, results)
      return results
    },
  }
}
