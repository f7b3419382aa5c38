// One training: one variant with one seed, from the first weights to the record of every epoch.

import { parseActivation } from '../activations/index.js'
import { TrainingError } from '../errors.js'
import { type Kernels, kernels } from '../kernels/index.js'
import { Purpose } from '../kernels/philox.js'
import { createNetwork } from './create-network.js'
import type { LabSplit } from './data/index.js'
import { initialParameters, networkLayout, shuffleForEpoch, stackWidths } from './layout.js'
import { measure } from './metrics.js'
import { inMode, type Moment } from './network.js'
import { optimizer } from './optimizer.js'
import type { Variant } from './options.js'
import type { RunRecord } from './results.js'
import { scheduleAt } from './schedule.js'
import { measureUncertainty, type UncertaintyOptions } from './uncertainty.js'

/** The data of all runs; the arrays may be shared between threads. */
export interface LabSplits {
  readonly train: LabSplit
  readonly validation: LabSplit
  readonly features: number
  readonly classes: number
}

export interface TrainRunOptions {
  readonly uncertainty?: UncertaintyOptions
  /** Called after every epoch; training stops when it returns false. */
  readonly onEpoch?: (epoch: number) => boolean
  readonly kernels?: Kernels
}

/**
 * Trains and measures. Null when `onEpoch` stopped it. A record depends on the variant, the seed and the data alone.
 * Throws TrainingError when the loss is no longer a number.
 */
export function trainRun(
  variant: Variant,
  seed: number,
  data: LabSplits,
  options: TrainRunOptions = {},
): RunRecord | null {
  const using = options.kernels ?? kernels()
  const { train, validation } = data
  const activation = parseActivation(variant.activation)
  const widths = stackWidths({
    features: data.features,
    classes: data.classes,
    nLayers: variant.nLayers,
    bottleneck: variant.bottleneck ?? Math.min(4, data.features),
  })
  const layout = networkLayout(widths, activation)
  const network = createNetwork(layout, activation, initialParameters(layout, activation, seed), using)
  const update = optimizer(using, network, variant)

  const stepsPerEpoch = Math.ceil(train.samples / variant.batchSize)
  const totalSteps = stepsPerEpoch * variant.epochs
  const scheduled = Object.entries(variant.schedule)
  /** The activation after so many steps. */
  const activationAt = (step: number) =>
    scheduled.length === 0
      ? activation
      : activation.with(
          Object.fromEntries(scheduled.map(([name, one]) => [name, scheduleAt(one, step / totalSteps)])),
        )
  const testMoment = (epoch: number): Moment => ({
    activation: inMode(activationAt(epoch * stepsPerEpoch), variant.testMode),
    seed,
    purpose: Purpose.decode,
    step: epoch,
    dropout: 0,
  })

  const record = emptyRecord(seed)
  const order = new Int32Array(train.samples)
  const started = performance.now()
  for (let epoch = 1; epoch <= variant.epochs; epoch++) {
    shuffleForEpoch(order, seed, epoch)
    let loss = 0
    for (let batch = 0; batch < stepsPerEpoch; batch++) {
      const step = (epoch - 1) * stepsPerEpoch + batch
      const first = batch * variant.batchSize
      const count = Math.min(variant.batchSize, train.samples - first)
      loss += network.learn(train, order, first, count, {
        activation: inMode(activationAt(step), variant.trainMode),
        seed,
        purpose: Purpose.activation,
        step: variant.drawEvery === 'epoch' ? epoch : step + 1,
        dropout: variant.dropout,
      })
      update()
    }
    if (!Number.isFinite(loss)) {
      throw new TrainingError(
        'LAB_LOSS_NOT_FINITE',
        `${variant.name}, seed ${seed}: the training loss is no longer a number in epoch ${epoch}; a smaller --lr (now ${variant.lr}) may help`,
        { exitCode: 1 },
      )
    }
    const forward = network.forward(validation.x, validation.samples, testMoment(epoch))
    const { gate, ...measured } = measure(forward, validation, data.classes)
    record.trainLoss.push(loss / train.samples)
    record.validationLoss.push(measured.loss)
    record.accuracy.push(measured.accuracy)
    record.sparsity.push(measured.sparsity)
    if (gate !== null) {
      record.gate ??= { mean: [], quantiles: [], histogram: [] }
      record.gate.mean.push(gate.mean)
      record.gate.quantiles.push([...gate.quantiles])
      record.gate.histogram.push([...gate.histogram])
    }
    if (options.onEpoch?.(epoch) === false) return null
  }
  if (options.uncertainty !== undefined) {
    const moment = { ...testMoment(variant.epochs), dropout: variant.dropout }
    record.uncertainty = measureUncertainty(network, validation, moment, options.uncertainty)
  }
  record.seconds = (performance.now() - started) / 1000
  return record
}

function emptyRecord(seed: number): RunRecord {
  return { seed, trainLoss: [], validationLoss: [], accuracy: [], sparsity: [], seconds: 0 }
}
