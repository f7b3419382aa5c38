// The lab's entry point for data: a made-up classification problem, a CSV file, or a known set, split and standardized,
// as arrays ready for training.

import { existsSync } from 'node:fs'
import { z } from 'zod'
import { didYouMean } from '../../did-you-mean.js'
import { DatasetError, OptionError } from '../../errors.js'
import { checkOptions } from '../../schema-issues.js'
import { readCsv } from './csv.js'
import { checkSeveralClasses, type Dataset } from './dataset.js'
import { KNOWN_SETS, loadDigits, loadMnist } from './known-sets.js'
import { makeClassification } from './make-classification.js'
import { fitScaling, takeRows } from './standardize.js'
import { trainTestSplit } from './train-test-split.js'

const MADE_UP = 'make-classification'

const count = z.int().min(1)
const amount = z.int().min(0)
const perFeature = z.union([z.number(), z.array(z.number()), z.null()])

/** Options of `loadLabData`: names, defaults and ranges stand here and nowhere else. */
export const labDataSchema = z.strictObject({
  /** `make-classification`, `digits`, `mnist-idx`, `mnist-idx:IMAGES,LABELS`, or the path of a CSV file. */
  data: z.string().min(1).default(MADE_UP),
  /** Column of a CSV file that holds the class: its name, its number from 1, or from -1 backwards. Default: the last. */
  target: z.string().min(1).optional(),
  /** Whether the first row of a CSV file names the columns; found out when left out. */
  header: z.boolean().optional(),
  /** Where `digits` and `mnist-idx` are looked for; default: the environment variable FLICKER_DATA. */
  dataDir: z.string().min(1).optional(),
  /** Fraction of the samples kept for validation when below 1, otherwise their number. */
  testSize: z.number().positive().default(0.2),
  /** Seed of the made-up problem and of the split. */
  randomState: z.int().min(0).max(0xffff_ffff).default(42),
  /** Keep the fractions of the classes alike in both parts. */
  stratify: z.boolean().default(false),
  /** Mean 0 and standard deviation 1 on the training part. */
  standardize: z.boolean().default(true),
  nSamples: count.default(5000),
  nFeatures: count.default(30),
  nInformative: count.default(2),
  nRedundant: amount.default(2),
  nRepeated: amount.default(0),
  nClasses: count.default(2),
  nClustersPerClass: count.default(2),
  /** Share of each class; null for equal ones. */
  weights: z.array(z.number().min(0)).nullable().default(null),
  flipY: z.number().max(1).default(0.01),
  classSep: z.number().default(1),
  hypercube: z.boolean().default(true),
  /** null draws one per feature. */
  shift: perFeature.default(0),
  scale: perFeature.default(1),
  shuffle: z.boolean().default(true),
})
export type LabDataOptions = z.input<typeof labDataSchema>

/** One part of a data set. */
export interface LabSplit {
  /** samples × features, row by row. */
  readonly x: Float32Array
  /** Class of each sample, from 0. */
  readonly y: Int32Array
  readonly samples: number
}

export interface LabData {
  readonly train: LabSplit
  readonly validation: LabSplit
  readonly features: number
  readonly classes: number
  /** Of the classes 0, 1, …; as the file has them. */
  readonly classNames: readonly string[]
  readonly featureNames: readonly string[]
  /** For people: what it is and how large. */
  readonly description: string
}

/**
 * Data by the options above, split and standardized. The same options give the same numbers, everywhere. Throws
 * OptionError for options that do not fit each other, DatasetError for files that do not fit.
 */
export function loadLabData(options: LabDataOptions = {}): LabData {
  const config = checkOptions(labDataSchema, options, 'data of the lab')
  const dataset = loadDataset(config)
  const { testSize, randomState, stratify } = config
  const { train, test } = trainTestSplit(dataset.samples, {
    testSize,
    randomState,
    stratify: stratify ? dataset.y : null,
  })
  checkSeveralClasses(namesIn(dataset, train), `${dataset.title}, its training part`)
  const scaling = config.standardize ? fitScaling(dataset, train) : null
  const part = (rows: Int32Array): LabSplit => ({
    x: takeRows(dataset, rows, scaling),
    y: rows.map(row => dataset.y[row]),
    samples: rows.length,
  })
  const n = (value: number): string => value.toLocaleString('en')
  return {
    train: part(train),
    validation: part(test),
    features: dataset.features,
    classes: dataset.classNames.length,
    classNames: dataset.classNames,
    featureNames: dataset.featureNames,
    description:
      `${dataset.title}: ${n(dataset.samples)} samples, ${n(dataset.features)} features, ` +
      `${dataset.classNames.length} classes; ${n(train.length)} for training, ${n(test.length)} for validation`,
  }
}

type Config = z.output<typeof labDataSchema>

function loadDataset(config: Config): Dataset {
  const { data, target, header } = config
  const directory = config.dataDir ?? process.env.FLICKER_DATA
  const [name, spec] = /^(mnist-idx)(?::(.*))?$/s.exec(data)?.slice(1) ?? [data]
  const isFile = name !== MADE_UP && !(KNOWN_SETS as readonly string[]).includes(name)
  if (!isFile && (target !== undefined || header !== undefined)) {
    throw new OptionError(
      'OPTION_INVALID',
      `target and header speak of the columns of a CSV file; the data is ${name}, which has its classes anyway`,
    )
  }
  if (name === MADE_UP) return madeUp(config)
  if (name === 'digits') return loadDigits(directory)
  if (name === 'mnist-idx') return loadMnist(spec ?? '', directory)
  if (!existsSync(data)) {
    const known = [MADE_UP, ...KNOWN_SETS]
    throw new DatasetError(
      'DATASET_NOT_FOUND',
      `data: ${data} does not exist; give the path of a CSV file, or one of ${known.join(', ')}.${didYouMean(data, known)}`,
    )
  }
  return readCsv(data, { target, header })
}

function madeUp(config: Config): Dataset {
  const { x, y, samples, features } = makeClassification(config)
  const classNames = Array.from({ length: config.nClasses }, (_, i) => String(i))
  checkSeveralClasses(classNames, MADE_UP)
  const featureNames = Array.from({ length: features }, (_, i) => `feature ${i + 1}`)
  return { title: MADE_UP, x, y, samples, features, classNames, featureNames, alike: false }
}

/** The classes that occur among `rows`. */
function namesIn({ y, classNames }: Dataset, rows: Int32Array): string[] {
  return [...new Set(rows.map(row => y[row]))].map(label => classNames[label])
}
