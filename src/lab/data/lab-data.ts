// The lab's one door to data: a made-up classification problem, a CSV file, or a known set, split and standardised,
// as arrays ready for training.

import { z } from 'zod'
import { OptionError } from '../../errors.js'

const count = z.int().min(1)
const amount = z.int().min(0)
const perFeature = z.union([z.number(), z.array(z.number()), z.null()])

/** Options of `loadLabData`: names, defaults and ranges stand here and nowhere else. */
export const labDataSchema = z.strictObject({
  /** `make-classification`, `digits`, `mnist-idx`, `mnist-idx:IMAGES,LABELS`, or the path of a CSV file. */
  data: z.string().min(1).default('make-classification'),
  /** Column of a CSV file that holds the class: its name, its number from 1, or from -1 backwards. Default: the last. */
  target: z.string().min(1).optional(),
  /** Whether the first row of a CSV file names the columns; found out when left out. */
  header: z.boolean().optional(),
  /** Where `digits` and `mnist-idx` are looked for; default: the environment variable FLICKER_DATA. */
  dataDir: z.string().min(1).optional(),
  /** Share of the samples kept for validation when below 1, otherwise their number. */
  testSize: z.number().positive().default(0.2),
  /** Seed of the made-up problem and of the split. */
  randomState: z.int().min(0).max(0xffff_ffff).default(42),
  /** Keep the shares of the classes alike in both parts. */
  stratify: z.boolean().default(false),
  /** Mean 0 and standard deviation 1 on the training part. */
  standardise: z.boolean().default(true),
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

/** Data by the options above. Throws OptionError and LabDataError's kin, all FlickerErrors. */
export function loadLabData(options: LabDataOptions = {}): LabData {
  labDataSchema.parse(options)
  throw new OptionError('LAB_DATA_UNFINISHED', 'the lab has no data yet')
}
