// How a setting of an activation (p, a temperature) moves over training.

import { z } from 'zod'

const share = z.number().min(0).max(1)

/**
 * One schedule. `from` holds until the fraction `start` of the steps is done, `to` from the fraction `end` on; between them:
 * - `switch`: at once, at `start`;
 * - `linear`: a straight line;
 * - `cosine`: half a cosine;
 * - `geometric`: a constant factor from step to step (temperatures);
 * - `stages`: through `via` in equal stages, each rising along a sine from −π/2 to π/2, as ProSparse's λ (Song et al.
 *   2024, arXiv 2402.13516).
 */
export const scheduleSchema = z
  .strictObject({
    kind: z.enum(['switch', 'linear', 'cosine', 'geometric', 'stages']).default('linear'),
    from: z.number(),
    to: z.number(),
    start: share.default(0),
    end: share.default(1),
    /** `stages`: values between `from` and `to` at which a stage ends and the next begins. */
    via: z.array(z.number()).default([]),
  })
  .superRefine((schedule, context) => {
    const issue = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message })
    if (schedule.end < schedule.start)
      issue('end', `must not be below start (${schedule.start}); it is ${schedule.end}`)
    if (schedule.kind !== 'stages' && schedule.via.length > 0) issue('via', 'is for kind: stages alone')
    if (schedule.kind === 'geometric' && !(schedule.from > 0 && schedule.to > 0))
      issue('from', 'and to must be above 0 for kind: geometric')
  })
export type Schedule = z.infer<typeof scheduleSchema>

/** The value when the fraction `done` in [0, 1] of the steps is done. */
export function scheduleAt(schedule: Schedule, done: number): number {
  const { kind, from, to, start, end, via } = schedule
  if (done < start) return from
  if (kind === 'switch' || done >= end) return to
  const progress = (done - start) / (end - start)
  switch (kind) {
    case 'linear':
      return from + progress * (to - from)
    case 'cosine':
      return to + 0.5 * (1 + Math.cos(Math.PI * progress)) * (from - to)
    case 'geometric':
      return from * (to / from) ** progress
    case 'stages': {
      const values = [from, ...via, to]
      const stages = values.length - 1
      const stage = Math.min(stages - 1, Math.floor(progress * stages))
      const within = progress * stages - stage
      return (
        values[stage] +
        0.5 * (Math.sin(-Math.PI / 2 + Math.PI * within) + 1) * (values[stage + 1] - values[stage])
      )
    }
  }
}
