// Penalties that make a model sparse while it trains: L1 on the hidden activations of the FFN, with a fixed coefficient,
// one steered towards a fraction of active neurons, or ProSparse's stages. They join any strategy: a step is penalized
// when its activation has exact zeros.

import { OptionError } from '../errors.js'
import type { Strategy } from './strategies.js'

interface CommonOptions {
  /**
   * After the last step, replace ReLU by FATReLU with the largest threshold that raises the loss on held-out text by at
   * most so many nats per token; 0 keeps ReLU. Song et al. 2024 (ProSparse).
   */
  readonly thresholdLoss: number
  /**
   * Fraction, in [0, 1], by which the gate weights of a dead neuron move towards new random ones in every step; 0
   * leaves dead neurons alone. 0.1 in arXiv 2603.23198.
   */
  readonly revive: number
  /** A neuron that has not fired for so many steps is dead. */
  readonly deadAfter: number
}

/**
 * loss += coefficient · mean over layers and tokens of Σ over neurons |h|, h being what the down projection reads: the
 * definition of "Sparser, Faster, Lighter Transformer Language Models" (arXiv 2603.23198) and of its code.
 */
export interface L1Options extends CommonOptions {
  readonly name: 'l1'
  /** Default: 2e-5, that of the paper; with `targetActive`, where it is what the steering begins with, 1e-3. */
  readonly coefficient?: number
  /** Fraction of the penalized steps over which the coefficient, or the fraction aimed at, comes to its value. */
  readonly coefficientWarmup: number
  /** Steer the coefficient so that this fraction of the hidden activations is not zero. */
  readonly targetActive?: number
}

/** loss += λ(step) · Σ over layers of the mean over tokens of Σ over neurons |h|, λ rising in stages. ProSparse. */
export interface ProsparseOptions extends CommonOptions {
  readonly name: 'prosparse'
  /** λ at the end of each stage; the first stage keeps its λ constant, the others rise to theirs along a sine. */
  readonly factors: readonly number[]
  /** Where each stage ends, as a fraction of the penalized steps: rising, in (0, 1]. After the last, λ stays. */
  readonly stages: readonly number[]
}

export type RegularizerOptions = L1Options | ProsparseOptions

/** What a run must remember of its regularizer to resume with the same bits. */
export interface RegularizerState {
  /** The coefficient of the next step. */
  readonly coefficient: number
  /** The fraction of active neurons that the steering began with; null before its first step. */
  readonly firstActive: number | null
  /** ln(active / aim) after the last step. */
  readonly error: number
}

const PUBLISHED_COEFFICIENT = 2e-5
const FIRST_STEERED_COEFFICIENT = 1e-3
/**
 * The steering works on logarithms: with e = ln(active / aim), each step adds INTEGRAL · e + PROPORTIONAL · (e − the e
 * before) to ln(coefficient), at most ±LARGEST. The second term holds back while the fraction is already falling.
 */
const INTEGRAL = 0.02
const PROPORTIONAL = 0.3
const LARGEST = 0.1
/** With fewer penalized steps than this, as after a late switch, all three are larger in proportion, at most MOST_HASTE times. */
const USUAL_STEPS = 400
const MOST_HASTE = 6
/** Where more of the elements than this are drawn without zeros, the fraction among the others is too noisy. */
const MOSTLY_DRAWN = 0.9

/**
 * λ of penalized step t (from 1) of n: `factors[0]` in the first stage, then from each factor to the next along half a
 * sine wave, λ_{i−1} + ½·(sin(−π/2 + π·(t − T_{i−1})/(T_i − T_{i−1})) + 1)·(λ_i − λ_{i−1}). Song et al. 2024, section 3.
 */
export function prosparseFactor(
  t: number,
  n: number,
  { factors, stages }: Pick<ProsparseOptions, 'factors' | 'stages'>,
): number {
  const ends = stages.map(end => end * n)
  const stage = ends.findIndex(end => t <= end)
  if (stage < 0) return factors[factors.length - 1]
  if (stage === 0) return factors[0]
  const [before, start] = [factors[stage - 1], ends[stage - 1]]
  const rise = 0.5 * (Math.sin(-Math.PI / 2 + (Math.PI * (t - start)) / (ends[stage] - start)) + 1)
  return before + rise * (factors[stage] - before)
}

/** The coefficient of every step of a run. */
export class Regularizer {
  readonly options: RegularizerOptions
  readonly #strategy: Strategy
  /** Steps before the first penalized one. */
  readonly #start: number
  /** Penalized steps. */
  readonly #count: number
  #state: RegularizerState

  /** Throws OptionError REGULARIZER_WITHOUT_ZEROS, THRESHOLD_NOT_RELU: see `checkRegularizer`. */
  constructor(options: RegularizerOptions, strategy: Strategy, steps: number) {
    checkRegularizer(options, strategy)
    this.options = options
    this.#strategy = strategy
    let start = 0
    while (start < steps && !strategy.activationAt(start + 1).exactZeros) start++
    this.#start = start
    this.#count = Math.max(1, steps - start)
    this.#state = { coefficient: firstCoefficient(options), firstActive: null, error: 0 }
  }

  /** What the |h| of one element adds to the loss of a batch of `rows` tokens in step `step`. */
  factor(step: number, rows: number, layers: number): number {
    return this.coefficient(step) / (this.options.name === 'l1' ? layers * rows : rows)
  }

  /** The coefficient (ProSparse: λ) of step `step`; 0 while the activation has no exact zeros. */
  coefficient(step: number): number {
    const { options } = this
    const t = step - this.#start
    if (t <= 0) return 0
    if (options.name === 'prosparse') return prosparseFactor(t, this.#count, options)
    if (options.targetActive !== undefined) return this.#state.coefficient
    return firstCoefficient(options) * this.#warmup(t, options)
  }

  /**
   * Steers the coefficient after step `step`, in which the fraction `active` of the hidden activations was not zero. The
   * fraction aimed at falls geometrically, over the warm-up, from the first one seen to the target. Elements that are
   * drawn from an activation without zeros do not count.
   */
  observe(step: number, active: number): void {
    const { options } = this
    const t = step - this.#start
    const drawn = this.#strategy.withoutZeros(step)
    if (options.name !== 'l1' || options.targetActive === undefined || t <= 0 || drawn > MOSTLY_DRAWN) return
    // In (0, 1]: a batch without any active neuron is a strong sign too.
    const own = Math.max(1e-6, (active - drawn) / (1 - drawn))
    const firstActive = this.#state.firstActive ?? Math.max(own, options.targetActive)
    const aim = firstActive * (options.targetActive / firstActive) ** this.#warmup(t, options)
    const error = Math.log(own / aim)
    const change = this.#state.firstActive === null ? 0 : error - this.#state.error
    const haste = Math.max(1, Math.min(MOST_HASTE, USUAL_STEPS / this.#count))
    const wanted = haste * (INTEGRAL * error + PROPORTIONAL * change)
    const move = Math.max(-LARGEST * haste, Math.min(LARGEST * haste, wanted))
    this.#state = { coefficient: this.#state.coefficient * Math.exp(move), firstActive, error }
  }

  get state(): RegularizerState {
    return this.#state
  }

  restore(state: RegularizerState): void {
    this.#state = state
  }

  #warmup(t: number, { coefficientWarmup }: L1Options): number {
    return Math.min(1, t / Math.max(1, coefficientWarmup * this.#count))
  }
}

function firstCoefficient(options: RegularizerOptions): number {
  if (options.name === 'prosparse') return options.factors[0]
  const { coefficient, targetActive } = options
  return coefficient ?? (targetActive === undefined ? PUBLISHED_COEFFICIENT : FIRST_STEERED_COEFFICIENT)
}

/**
 * Throws OptionError REGULARIZER_WITHOUT_ZEROS: the strategy ends with an activation that is never exactly zero;
 * THRESHOLD_NOT_RELU: a threshold is to be searched for, and it does not end with ReLU.
 */
export function checkRegularizer(options: RegularizerOptions, { inference }: Strategy): void {
  if (!inference.exactZeros) {
    throw new OptionError(
      'REGULARIZER_WITHOUT_ZEROS',
      `regularizer ${options.name} makes neurons exactly zero, but the run ends with ${inference.spec}, which is ` +
        'never exactly zero; end with relu (--strategy swift, or --activation relu)',
    )
  }
  if (options.thresholdLoss > 0 && inference.name !== 'relu') {
    throw new OptionError(
      'THRESHOLD_NOT_RELU',
      `thresholdLoss replaces relu by fatrelu, but the run ends with ${inference.spec}; end with relu, or set it to 0`,
    )
  }
}
