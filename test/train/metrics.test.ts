// metrics.jsonl: what is appended is kept, and what cannot be written or read has a code or a notice.

import fs from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { MetricsLog, type StepMetrics } from '../../src/train/metrics.js'
import { fillDiskAfter } from '../formats/disk-faults.js'
import { temporaryDirectory } from './tiny-run.js'

afterEach(() => vi.restoreAllMocks())

const stepLine = (step: number): StepMetrics => ({
  kind: 'step',
  step,
  loss: 1 / step,
  learningRate: 0.1,
  gradNorm: 2,
  activation: 'relu',
  seconds: 0.5,
})
const failOnNotice = (notice: string) => expect.fail(notice)

/** A log of `steps` steps in a new directory. */
function filled(steps: number): string {
  const file = path.join(temporaryDirectory(), 'metrics.jsonl')
  const log = MetricsLog.open(file, 0, failOnNotice)
  for (let step = 1; step <= steps; step++) log.append(stepLine(step))
  return file
}

describe('the metrics of a run', () => {
  it('are read back, without what lies beyond the step that is resumed from', () => {
    const file = filled(5)
    expect(MetricsLog.open(file, 3, failOnNotice).lines).toEqual([1, 2, 3].map(stepLine))
    expect(fs.readFileSync(file, 'utf8').split('\n')).toHaveLength(4)
  })

  it('are not written again when there is nothing to drop', () => {
    const file = filled(3)
    const before = fs.statSync(file).ino
    MetricsLog.open(file, 3, failOnNotice)
    expect(fs.statSync(file).ino).toBe(before)
  })

  it('make a curve of means whose points end where they say', () => {
    const log = MetricsLog.open(filled(5), 5, failOnNotice)
    expect(log.curve(5)).toEqual([1, 2, 3, 4, 5].map(step => ({ step, loss: 1 / step })))
    const means = [
      [2, (1 + 1 / 2) / 2],
      [4, (1 / 3 + 1 / 4) / 2],
      [5, 1 / 5],
    ]
    expect(log.curve(3)).toEqual(means.map(([step, loss]) => ({ step, loss })))
    expect(log.evaluations).toEqual([])
  })

  it('on a full disk stop with a code, and keep what was recorded', () => {
    const file = filled(2)
    const log = MetricsLog.open(file, 2, failOnNotice)
    fillDiskAfter(30)
    expect(() => log.append(stepLine(3))).toThrow(expect.objectContaining({ code: 'DISK_FULL', exitCode: 1 }))
    vi.restoreAllMocks()
    // Half of a line is what a kill leaves too: it is dropped without a notice.
    expect(MetricsLog.open(file, 2, failOnNotice).lines).toEqual([1, 2].map(stepLine))
  })

  it.each(['/dev/full', '/dev/zero'])('are an ordinary file, not %s, which has no end', device => {
    const file = path.join(temporaryDirectory(), 'metrics.jsonl')
    fs.symlinkSync(device, file)
    expect(() => MetricsLog.open(file, 0, failOnNotice)).toThrow(
      expect.objectContaining({ code: 'NOT_A_FILE' }),
    )
  })

  it('that are missing are noticed', () => {
    const file = filled(0)
    const notices: string[] = []
    MetricsLog.open(file, 4, notice => notices.push(notice))
    expect(notices).toEqual([expect.stringContaining('records 0 of the 4 steps')])
  })
})
