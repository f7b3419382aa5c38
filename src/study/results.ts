// What a study measured, as it stands in results.json. The report and the table are made from this alone.

import type { Evaluation } from '../eval/evaluate.js'
import type { ModelConfig } from '../nn/config.js'

export type { Evaluation } from '../eval/evaluate.js'

/** Decoding speed of one checkpoint in one weight type: the same prompt and length, medians of several passes. */
export interface DecodeSpeed {
  dtype: 'f32' | 'bf16'
  /** Tokens per second with every neuron computed. */
  dense: number
  /** Tokens per second when inactive neurons are skipped; null for an activation without exact zeros. */
  sparse: number | null
}

export interface Sample {
  kind: 'greedy' | 'stochastic'
  /** Activation at decoding time, e.g. `stocha:p=0.3`. */
  activation: string
  temperature: number
  seed: number
  prompt: string
  /** What the model wrote after the prompt. */
  text: string
}

export interface RunResult {
  /** Directory name, e.g. `swift`. */
  name: string
  /** For people, e.g. `Swi+FT (SiLU → ReLU)`. */
  label: string
  /** One line: what the strategy did, with its numbers. */
  description: string
  seed: number
  /** Last step of the first activation; null when the activation never changes. */
  switchStep: number | null
  steps: number
  /** Training curve, thinned to at most a few hundred points: step and mean loss since the point before. */
  curve: { step: number; loss: number }[]
  evaluations: Evaluation[]
  /** Measured at the end with the activation that inference uses. */
  final: Evaluation
  speed: DecodeSpeed[]
  samples: Sample[]
  trainSeconds: number
  trainTokensPerSecond: number
  /** Of a run that was repeated over seeds: each one's final measurement; what stands above are then means over them. */
  perSeed?: { seed: number; final: Evaluation }[]
}

export interface StudyResults {
  /** Bumped when a field changes its meaning. */
  formatVersion: 1
  name: string
  title: string
  /** ISO 8601. */
  finishedAt: string
  version: string
  machine: { cpu: string; cores: number; threads: number; backend: string; isa: string; node: string }
  corpus: {
    description: string
    trainBytes: number
    validationBytes: number
    trainTokens: number
    validationTokens: number
    tokenizer: string
  }
  model: ModelConfig & { parameters: number }
  training: { steps: number; batchSize: number; context: number; tokensPerRun: number; learningRate: number }
  runs: RunResult[]
  /** The recipe as it ran, YAML: with it the report alone is enough to run the study again. */
  recipe?: string
}
