// The learning rate over a run: linear warm-up, then a cosine down to a floor (Loshchilov & Hutter 2017).

export interface ScheduleOptions {
  readonly steps: number
  readonly warmupSteps: number
  readonly learningRate: number
  readonly minLearningRate: number
}

/** Learning rate of step 1 … steps. It knows nothing of the activation: a switch does not restart it. */
export function cosineSchedule(step: number, options: ScheduleOptions): number {
  const { steps, warmupSteps, learningRate, minLearningRate } = options
  if (step <= warmupSteps) return (learningRate * step) / Math.max(1, warmupSteps)
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps))
  return minLearningRate + 0.5 * (1 + Math.cos(Math.PI * progress)) * (learningRate - minLearningRate)
}
