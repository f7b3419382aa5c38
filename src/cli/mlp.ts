// `flicker mlp`: activations on a small feed-forward network, many runs at once.

import path from 'node:path'
import { Command } from 'commander'
import { TrainingError } from '../errors.js'
import { labDataSchema } from '../lab/data/index.js'
import { type LabConfig, labSchema, networkSchema } from '../lab/options.js'
import { readLabRecipe } from '../lab/recipe.js'
import { renderLabTable } from '../lab/report/table.js'
import { divergenceWarnings, isDiverged, type LabResults } from '../lab/results.js'
import { type LabProgress, runLab } from '../lab/run-lab.js'
import { packagedRecipes } from '../recipes/recipe-file.js'
import {
  activationsOption,
  allowCodeOption,
  integer,
  jsonOption,
  numbers,
  seedOption,
  threadsOption,
} from './options.js'
import { addSchemaFlags, parseFlags } from './schema-flags.js'
import { type Bar, duration, interruptible, log, print, printJson, progressBar } from './terminal.js'

const about = {
  data: 'make-classification, digits, mnist-idx[:IMAGES,LABELS] or a CSV file',
  target: 'CSV: column of the class, by name or number (default: the last)',
  header: 'CSV: whether the first row names the columns (default: found out)',
  dataDir: 'where digits and mnist-idx are (default: $FLICKER_DATA)',
  testSize: 'fraction of the samples for validation, or from 1 on their number',
  randomState: "scikit-learn's random_state, of the data and the split",
  stratify: 'the same fractions of classes in both parts',
  standardize: 'mean 0 and deviation 1 on the training part',
  nSamples: 'make-classification: samples',
  nFeatures: 'make-classification: features',
  nInformative: 'make-classification: features that decide the class',
  nRedundant: 'make-classification: mixtures of informative features',
  nRepeated: 'make-classification: copies of features',
  nClasses: 'make-classification: classes',
  nClustersPerClass: 'make-classification: clusters per class',
  flipY: 'make-classification: fraction of samples whose class is drawn again',
  classSep: 'make-classification: distance of the clusters',
  hypercube: 'make-classification: clusters at corners of a hypercube',
  shuffle: 'make-classification: shuffle samples and features',
  nLayers: 'hidden layers: bottleneck, features, bottleneck, …',
  bottleneck: 'width of the first, third, … hidden layer (default: 4, or all features where there are fewer)',
  dropout: 'fraction of hidden activations dropped in training',
  epochs: 'passes over the training part',
  batchSize: 'samples per step',
  lr: 'learning rate',
  optimizer: 'optimizer',
  weightDecay: 'adam, sgd: in the gradient; adamw: decoupled',
  momentum: 'sgd: momentum',
  p: 'probability of SiLU of stoch, stocha, … where their name gives none',
  trainMode: 'in training: draw, or take the mean over draws',
  testMode: 'on the validation set: draw, or take the mean over draws',
  drawEvery: 'new draws every step, or one set per epoch',
}

interface MlpFlags extends Record<string, unknown> {
  activations?: string[]
  uncertainty?: number
  out?: string
  plots?: boolean
  fresh?: boolean
  allowCode?: boolean
  json?: boolean
}

export function mlpCommand(): Command {
  const command = new Command('mlp')
    .description('train a small feed-forward network with several activations, many runs each, and compare')
    .argument(
      '[recipe]',
      `YAML file, or one of the package's own: ${packagedRecipes('recipes/lab').join(', ')}`,
    )
    .addOption(
      activationsOption(
        'any of `flicker activations`, or with --allow-code files of yours (default: relu silu stoch learnable_stoch gumbel_stoch)',
      ),
    )
    .option('--n-runs <n>', 'runs per activation, each with a seed of its own (default: 10)', integer(1))
    .option(
      '--n-workers <n>',
      'worker threads, never more than cores or runs (default: one per core)',
      integer(1),
    )
    .addOption(seedOption('seed of the first run (default: 0)'))
    .addOption(threadsOption())
    .option('--plots', 'write every figure as SVG and PNG, and a page with all of them')
    .option('--out <directory>', 'where results go (default: runs/<name of the recipe>, or runs/mlp)')
    .option('--fresh', 'train again what is finished')
    .option(
      '--uncertainty <draws>',
      'after training, draw the activation so many times per sample, as a measure of uncertainty',
      integer(1),
    )
    .addOption(allowCodeOption())
    .addOption(jsonOption('print results.json on stdout and nothing else there'))
  command.optionsGroup('Network and training:')
  addSchemaFlags(command, networkSchema.omit({ schedule: true }), about)
  command.optionsGroup('Data:')
  addSchemaFlags(command, labDataSchema.omit({ weights: true, shift: true, scale: true }), about)
  return command
    .option('--weights <list>', 'make-classification: fractions of the classes, as in 0.9,0.1', numbers)
    .option(
      '--shift <list>',
      'make-classification: one number, one per feature, or random (default: 0)',
      perFeature,
    )
    .option(
      '--scale <list>',
      'make-classification: one number, one per feature, or random (default: 1)',
      perFeature,
    )
    .addHelpText(
      'after',
      `
Flags may be spelled with underscores too. With a recipe, flags replace its values. An interrupted experiment resumes
when the same command is given again.

Examples:
  flicker mlp --epochs 100 --plots --lr 0.001 --n-classes 2 --n-features 30 --n-layers 4 --n-samples 5000 --n-runs 10
  flicker mlp --activations silu,gelu,stoch:p=0.3 --n-runs 5 --data iris.csv --target species
  flicker mlp gradual-switch --plots
  flicker mlp --activations stoch --dropout 0.1 --uncertainty 100 --json`,
    )
    .action(async (recipe: string | undefined, flags: MlpFlags) => {
      const config = configOf(recipe, flags)
      const directory = flags.out ?? path.join('runs', config.name)
      const narrator = narrate()
      const results = await runLab(config, {
        directory,
        fresh: flags.fresh,
        signal: interruptible(),
        onData: data => log(`data: ${data.description}`),
        onProgress: narrator.progress,
      }).finally(narrator.stop)
      // What draws figures takes a second to load, and most runs draw none.
      const files =
        flags.plots === true
          ? (await import('../lab/report/save-report.js')).saveLabReport(results, directory)
          : []
      if (flags.json === true) printJson(results)
      else printSummary(results, directory, files.length > 0)
      sayDivergence(results)
    })
}

function printSummary(results: LabResults, directory: string, withFigures: boolean): void {
  print(renderLabTable(results, process.stdout.columns ?? 160))
  const runs = results.seeds.length
  print(
    `\nafter the last epoch, ${runs === 1 ? 'one run' : `mean ± standard deviation over ${runs} runs`} each`,
  )
  print(`results: ${path.join(directory, 'results.json')}`)
  if (withFigures) print(`figures: ${path.join(directory, 'report.html')}, ${path.join(directory, 'plots')}`)
}

/** Names the variants whose runs diverged; throws TrainingError when no run is left that learned anything. */
function sayDivergence(results: LabResults): void {
  const warnings = divergenceWarnings(results)
  const { variants, data } = results
  if (variants.every(({ runs }) => runs.every(run => isDiverged(run, data.classes)))) {
    throw new TrainingError('LAB_DIVERGED', warnings.join('; '), { exitCode: 1 })
  }
  for (const warning of warnings) log(`flicker: ${warning}`)
}

/** The recipe, or the defaults, with the flags laid over it. Throws RecipeError, OptionError. */
function configOf(recipe: string | undefined, flags: MlpFlags): LabConfig {
  const base = recipe === undefined ? {} : readLabRecipe(recipe, { allowCode: flags.allowCode })
  const given = Object.entries(flags).filter(([key]) => key in labSchema.shape && key !== 'uncertainty')
  // Activations on the command line replace the recipe's activations and variants.
  const curves = flags.activations === undefined ? {} : { variants: undefined }
  const { uncertainty: draws } = flags
  const uncertainty = draws === undefined ? {} : { uncertainty: { draws } }
  return parseFlags(labSchema, { ...base, ...curves, ...Object.fromEntries(given), ...uncertainty })
}

/** Progress over all runs: a bar with time left. */
function narrate(): { progress: (progress: LabProgress) => void; stop: () => void } {
  let bar: Bar | null = null
  return {
    progress: ({ runs, finishedRuns, foundRuns, epochs, finishedEpochs, secondsLeft }) => {
      if (bar === null) {
        if (foundRuns > 0) log(`${foundRuns} of ${runs} runs were finished before`)
        bar = progressBar('training', epochs)
      }
      const left = Number.isFinite(secondsLeft) ? `${duration(secondsLeft)} left` : 'starting'
      bar.update(finishedEpochs, `${finishedRuns}/${runs} runs · ${left}`)
    },
    stop: () => bar?.stop(),
  }
}

/** `random` lets each feature have its own, drawn. */
function perFeature(text: string): number | number[] | null {
  if (text === 'random') return null
  const values = numbers(text)
  return values.length === 1 ? values[0] : values
}
