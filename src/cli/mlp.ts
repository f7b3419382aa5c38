// `flicker mlp`: activations on a small feed-forward network, many runs at once.

import path from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { TrainingError } from '../errors.js'
import { labDataSchema } from '../lab/data/index.js'
import { type LabConfig, labSchema, networkSchema } from '../lab/options.js'
import { readLabRecipe } from '../lab/recipe.js'
import { renderLabTable } from '../lab/report/table.js'
import { divergenceWarnings, isDiverged, type LabResults } from '../lab/results.js'
import { type LabProgress, runLab } from '../lab/run-lab.js'
import { packagedRecipes } from '../recipes/recipe-file.js'
import { activationsOption, addSchemaFlags, allowCodeOption, integer, number, parseFlags } from './options.js'
import { type Bar, duration, interruptible, log, print, printJson, progressBar } from './terminal.js'

const about = {
  data: 'make-classification, digits, mnist-idx[:IMAGES,LABELS] or a CSV file',
  target: 'CSV: column of the class, by name or number (default: the last)',
  header: 'CSV: whether the first row names the columns (default: found out)',
  dataDir: 'where digits and mnist-idx are (default: $FLICKER_DATA)',
  testSize: 'share of samples for validation, or from 1 on their number',
  randomState: "scikit-learn's random_state, of the data and the split",
  stratify: 'the same shares of classes in both parts',
  standardize: 'mean 0 and deviation 1 on the training part',
  nSamples: 'make-classification: samples',
  nFeatures: 'make-classification: features',
  nInformative: 'make-classification: features that decide the class',
  nRedundant: 'make-classification: mixtures of informative features',
  nRepeated: 'make-classification: copies of features',
  nClasses: 'make-classification: classes',
  nClustersPerClass: 'make-classification: clusters per class',
  flipY: 'make-classification: share of classes drawn anew',
  classSep: 'make-classification: distance of the clusters',
  hypercube: 'make-classification: clusters at corners of a hypercube',
  shuffle: 'make-classification: shuffle samples and features',
  nLayers: 'hidden layers: bottleneck, features, bottleneck, …',
  bottleneck: 'width of the first, third, … hidden layer (default: 4, or all features where there are fewer)',
  dropout: 'share of hidden activations dropped in training',
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
    .option('--n-runs <n>', 'runs per activation, each with a seed of its own (default: 10)', number)
    .option(
      '--n-workers <n>',
      'worker threads, never more than cores or runs (default: one per core)',
      number,
    )
    .option('--seed <n>', 'seed of the first run (default: 0)', number)
    .option('--plots', 'write every figure as SVG and PNG, and a page with all of them')
    .option('--out <directory>', 'where results go (default: runs/<name of the recipe>, or runs/mlp)')
    .option('--fresh', 'train again what is finished')
    .option(
      '--uncertainty <draws>',
      'after training, so many draws per sample as a measure of doubt',
      integer(1),
    )
    .option('--weights <list>', 'make-classification: shares of the classes, as in 0.9,0.1', list)
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
    .addOption(allowCodeOption())
    .option('--json', 'print results.json on stdout')
  addSchemaFlags(command, networkSchema.omit({ schedule: true }), about)
  addSchemaFlags(command, labDataSchema.omit({ weights: true, shift: true, scale: true }), about)
  acceptUnderscores(command)
  return command
    .addHelpText(
      'after',
      `
Flags may be spelled with underscores too. With a recipe, flags take the place of its values. An interrupted
experiment goes on where it was when the same command is given again.

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
  const { out: _, plots: __, fresh: ___, json: ____, allowCode: _____, uncertainty, ...given } = flags
  const base = recipe === undefined ? {} : readLabRecipe(recipe, { allowCode: flags.allowCode })
  // Activations on the command line take the place of whatever curves the recipe has.
  const curves = flags.activations === undefined ? {} : { variants: undefined }
  const doubt = uncertainty === undefined ? {} : { uncertainty: { draws: uncertainty } }
  return parseFlags(labSchema, { ...base, ...curves, ...given, ...doubt })
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

function list(text: string): number[] {
  return text.split(',').map(number)
}

/** `random` lets each feature have its own, drawn. */
function perFeature(text: string): number | number[] | null {
  if (text === 'random') return null
  const numbers = list(text)
  if (numbers.length === 0) throw new InvalidArgumentError('give a number, several with commas, or random.')
  return numbers.length === 1 ? numbers[0] : numbers
}

/** `--n_classes` is `--n-classes`: the spelling of the experiment's first program. */
function acceptUnderscores(command: Command): void {
  const parse = command.parseOptions.bind(command)
  command.parseOptions = args =>
    parse(args.map(arg => arg.replace(/^--[a-z][a-z0-9]*(_[a-z0-9]+)+/, flag => flag.replaceAll('_', '-'))))
}
