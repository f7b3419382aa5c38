// A made study with plausible numbers: what the quick study's results look like, without training anything.

import type {
  DecodeSpeed,
  Evaluation,
  Machine,
  RunResult,
  Sample,
  StudyResults,
} from '../../../src/study/results.js'

const STEPS = 900
const LAYERS = 4

export interface MadeRun {
  readonly name: string
  readonly label: string
  readonly description?: string
  /** Activation before and after the switch; the same for none. */
  readonly from: string
  readonly to: string
  readonly switchStep?: number
  /** Validation loss at the end, nats per token. */
  readonly loss: number
  /** Sparsity of layer 0 and of the last layer at the end. */
  readonly sparsity: readonly [number, number]
  /** How far the loss jumps at the switch. */
  readonly jump?: number
}

export const FOUR_RUNS: readonly MadeRun[] = [
  { name: 'silu', label: 'SiLU', from: 'silu', to: 'silu', loss: 2.913, sparsity: [0, 0] },
  { name: 'relu', label: 'ReLU', from: 'relu', to: 'relu', loss: 2.941, sparsity: [0.74, 0.91] },
  {
    name: 'swift',
    label: 'Swi+FT',
    from: 'silu',
    to: 'relu',
    switchStep: 720,
    loss: 2.9254,
    sparsity: [0.61, 0.83],
    jump: 0.5,
  },
  {
    name: 'stocha',
    label: 'StochA → ReLU',
    from: 'stocha:p=0.7',
    to: 'relu',
    switchStep: 720,
    loss: 2.9297,
    sparsity: [0.7, 0.87],
    jump: 0.22,
  },
]

export const MACHINE: Machine = {
  cpu: 'Intel(R) Xeon(R) Processor @ 2.60GHz',
  cores: 2,
  threads: 2,
  backend: 'native',
  isa: 'avx512',
  node: 'v20.19.0',
  version: '0.1.0',
}

/** A speed whose ratio is known to within 1 % to each side. */
function madeSpeed(dtype: 'f32' | 'bf16', dense: number, ratio: number | null): DecodeSpeed {
  return {
    dtype,
    dense,
    sparse: ratio === null ? null : dense * ratio,
    ratio:
      ratio === null
        ? null
        : { median: ratio, low: ratio * 0.99, high: ratio * 1.01, confidence: 0.96484375 },
    passes: 15,
  }
}

/** Results of `runs`; everything follows from the arguments, so two calls give the same. */
export function madeResults(runs: readonly MadeRun[] = FOUR_RUNS): StudyResults {
  return {
    formatVersion: 1,
    name: 'quick',
    title: 'SiLU, ReLU, Swi+FT and StochA on a small model',
    finishedAt: '2026-02-03T04:05:06.789Z',
    version: '0.1.0',
    machine: MACHINE,
    corpus: {
      description: 'the documentation and declaration files of the installed packages (412 documents)',
      trainBytes: 8_412_345,
      validationBytes: 912_345,
      trainTokens: 2_912_345,
      validationTokens: 312_345,
      tokenizer: 'bpe:1024',
    },
    model: {
      vocabSize: 1024,
      hiddenSize: 128,
      intermediateSize: 512,
      numHiddenLayers: LAYERS,
      numAttentionHeads: 4,
      numKeyValueHeads: 4,
      maxPositionEmbeddings: 128,
      rmsNormEps: 1e-5,
      ropeTheta: 10_000,
      tieWordEmbeddings: true,
      ffn: 'gated',
      activation: 'relu',
      parameters: 1_181_824,
    },
    training: {
      steps: STEPS,
      batchSize: 16,
      context: 128,
      tokensPerRun: STEPS * 16 * 128,
      learningRate: 0.003,
    },
    runs: runs.map(madeRun),
  }
}

function madeRun(made: MadeRun, index: number): RunResult {
  const noise = noiseFrom(index + 1)
  const switchStep = made.switchStep ?? null
  const sparse = made.sparsity[1] > 0
  const speedUp = 1 / (1 - 0.45 * ((made.sparsity[0] + made.sparsity[1]) / 2))
  const curve = []
  for (let step = 3; step <= STEPS; step += 3) {
    curve.push({ step, loss: lossAt(step, made) + 0.045 * noise() })
  }
  const evaluations = []
  for (let step = 60; step <= STEPS; step += 60) {
    evaluations.push(madeEvaluation(step, made, lossAt(step, made) + 0.03 + 0.004 * noise()))
  }
  return {
    name: made.name,
    label: made.label,
    description:
      made.description ??
      (switchStep === null
        ? `${made.from} throughout`
        : `${made.from} for ${switchStep} steps, then ${made.to} for the last ${STEPS - switchStep}`),
    seed: 1,
    switchStep,
    steps: STEPS,
    curve,
    evaluations,
    final: { ...madeEvaluation(STEPS, made, made.loss), tokens: 131_072 },
    speed: [
      madeSpeed('f32', 2104.3 + 21 * noise(), sparse ? speedUp : null),
      madeSpeed('bf16', 3391.8 + 30 * noise(), sparse ? speedUp * 0.93 : null),
    ],
    samples: madeSamples(made),
    trainSeconds: 71.4 + index,
    trainTokensPerSecond: (STEPS * 16 * 128) / (71.4 + index),
    machines: { training: [MACHINE], measuring: MACHINE },
  }
}

function madeEvaluation(step: number, made: MadeRun, loss: number): Evaluation {
  const switched = step > (made.switchStep ?? 0) || made.from === made.to
  const grown = made.switchStep === undefined ? 1 - 0.5 * Math.exp(-step / 200) : 0.94 + (step / STEPS) * 0.06
  const drawn = made.from.startsWith('stocha') ? 0.18 : 0
  return {
    step,
    loss,
    perplexity: Math.exp(loss),
    bitsPerByte: loss * 0.4986,
    sparsity: Array.from({ length: LAYERS }, (_, layer) => {
      const last = made.sparsity[0] + ((made.sparsity[1] - made.sparsity[0]) * layer) / (LAYERS - 1)
      return switched ? last * grown : drawn + layer * 0.01 * (drawn > 0 ? 1 : 0)
    }),
    activation: switched ? made.to : made.from,
    drawnPer: !switched && made.from.startsWith('stocha') ? 'element' : null,
    tokens: 16_384,
    sample: { windows: 128, of: 2772, seed: 1 },
  }
}

function lossAt(step: number, { loss, switchStep, jump = 0 }: MadeRun): number {
  const spike =
    switchStep === undefined || step <= switchStep ? 0 : jump * Math.exp(-(step - switchStep) / 22)
  return loss - 0.03 + 3.9 * Math.exp(-step / 70) + 0.55 * Math.exp(-step / 330) - 0.036 + spike
}

function madeSamples({ to, name }: MadeRun): Sample[] {
  const prompt = 'The '
  const start = 'type of the value that is returned by the function `'
  const greedy: Sample = {
    kind: 'greedy',
    activation: to,
    temperature: 0,
    seed: 0,
    prompt,
    text: `${start}${name}\`.\n\n## Options\n\n- \`options\` - an object with the following properties:\n  - \`name\` - the name of the value\n\n\`\`\`ts\nexport declare function ${name}(options?: Options): Promise<void>;\n\`\`\`\n`,
  }
  const sampled: Sample = {
    ...greedy,
    kind: 'sampled',
    temperature: 0.8,
    seed: 1,
    text: `${start}sampled\`.\n`,
  }
  const drawn = [1, 2, 3].map(
    (seed): Sample => ({
      ...greedy,
      kind: 'stochastic',
      activation: 'stocha:p=0.3',
      seed,
      text: `${start}${['read', 'parse', 'close'][seed - 1]}\` when it is called with a stream.\n\n### new in version ${seed}.0\n\nReturns: {Promise} Fulfills with undefined upon success.\n`,
    }),
  )
  return [sampled, greedy, ...drawn]
}

/** A small generator of numbers around 0 with a spread of about 1: the figures shall look like noise, nothing more. */
function noiseFrom(seed: number): () => number {
  let state = seed * 2_654_435_761
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  return () => (uniform() + uniform() + uniform() - 1.5) * 2
}
