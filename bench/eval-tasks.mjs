// What evaluation costs, and what sharing the beginnings of questions is worth: tasks through `flicker eval`'s runner against each choice scored alone,
// from the first token on, through the engine's logits. Prints seconds, their ratio, and the peak
// of memory beside what there was before the first question.
//
//   node bench/eval-tasks.mjs --data DIR [--task hellaswag] [--limit 1000] [--alone 100] [--model PATH --tokenizer PATH]
//   node bench/eval-tasks.mjs --data DIR --memory [--task name,name] [--limit 200]
//
// --memory: the peak of every task with data in DIR, each in a process of its own; all rows are read, the first questions asked.
// Without --model a random model, about 20 M weights; its vocabulary is that of --tokenizer, else 4,096 tokens trained on the
// questions themselves. --alone: so many of the questions are scored alone, and the time is scaled.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { randomConfig, randomWeights } from '../dist/bench/random-model.js'
import { prepareData } from '../dist/data/prepare.js'
import { loadTokenizer } from '../dist/data/tokenizers/load.js'
import { EngineModel, LanguageModel, load } from '../dist/engine/index.js'
import { CodeRunner } from '../dist/eval/code/run-program.js'
import { questionsOf, requestsOf } from '../dist/eval/questions.js'
import { scoredTokens } from '../dist/eval/requests.js'
import { TaskData } from '../dist/eval/rows.js'
import { runTasks } from '../dist/eval/run-tasks.js'
import { findTask, isGroup, TASK_GROUPS, TASKS } from '../dist/eval/tasks/index.js'
import { machineInfo } from '../dist/kernels/machine-info.js'
import { parameterShapes } from '../dist/nn/parameters.js'

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    task: { type: 'string', default: 'hellaswag' },
    limit: { type: 'string', default: '1000' },
    alone: { type: 'string', default: '100' },
    model: { type: 'string' },
    tokenizer: { type: 'string' },
    hidden: { type: 'string', default: '448' },
    layers: { type: 'string', default: '8' },
    bootstrap: { type: 'string', default: '1000' },
    memory: { type: 'boolean', default: false },
    /** Prints the peak as JSON: what a process of --memory does. */
    peak: { type: 'boolean', default: false },
  },
})
if (flags.memory) {
  peaks()
  process.exit()
}
const found = findTask(flags.task)
const tasks = isGroup(found) ? found.tasks : [found]
const data = new TaskData(flags.data)
const limit = Number(flags.limit)
const all = []
for (const task of tasks) all.push(await questionsOf(task, data, { limit }))
const model =
  flags.model === undefined ? randomModel() : await load(flags.model, { tokenizer: flags.tokenizer })
const { engine, tokenizer, config } = model

const directory = mkdtempSync(path.join(tmpdir(), 'flicker-bench-'))
const started = performance.now()
const cpuStarted = cpuSeconds()
const results = await runTasks(model, tasks, {
  ...{
    data,
    limit,
    seed: 1,
    bootstrap: Number(flags.bootstrap),
    directory,
    settings: {},
    code: codeRunner(),
  },
})
// Of the whole process so far, tokenizer and model included.
const peak = process.resourceUsage().maxRSS * 1024
const seconds = (performance.now() - started) / 1000
const cpu = cpuSeconds() - cpuStarted
rmSync(directory, { recursive: true })
data.close()

const questions = results.reduce((sum, { questions }) => sum + questions, 0)
const weights = parameterShapes(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b) * 4, 0)
if (flags.peak) {
  const available = results.reduce((sum, { available }) => sum + available, 0)
  console.log(JSON.stringify({ available, questions, peak: peak - weights, seconds }))
  process.exit()
}
const machine = machineInfo()
const { cores, threads, isa } = machine
console.log(`${machine.cpu}, ${cores} cores · ${isa}, ${threads} threads`)
console.log(
  `${flags.task}: ${questions} questions in ${seconds.toFixed(1)} s (${cpu.toFixed(1)} s of processor time), ${(questions / seconds).toFixed(0)} a second`,
)
console.log(
  `memory: at most ${megabytes(peak)}, without the weights (f32, ${megabytes(weights)}) ${megabytes(peak - weights)}, limit 1,000 MB`,
)

const alone = Math.min(Number(flags.alone), all[0].rows.length)
if (alone > 0) {
  const from = performance.now()
  const cpuFrom = cpuSeconds()
  for (let index = 0; index < alone; index++) {
    for (const { prompt, continuation } of requestsOf(all[0], index)) {
      const { tokens, scored } = scoredTokens(tokenizer, prompt, continuation, config.maxPositionEmbeddings)
      nats(engine.logits(tokens.slice(0, -1)), tokens, scored)
    }
  }
  const each = (performance.now() - from) / 1000 / alone
  const eachCpu = (cpuSeconds() - cpuFrom) / alone
  const ratio = (each * questions) / seconds
  const cpuRatio = (eachCpu * questions) / cpu
  console.log(
    `each choice alone: ${(each * questions).toFixed(1)} s (from ${alone} questions), ${ratio.toFixed(2)} times as long (${cpuRatio.toFixed(2)} of processor time, which other programs disturb less); limit 3 for hellaswag`,
  )
}

/** The peak of every task, or of those of --task. */
function peaks() {
  const given = process.argv.includes('--task') ? flags.task.split(',') : null
  const names = given ?? [...TASKS, ...TASK_GROUPS].map(({ name }) => name)
  console.log('| task | rows | asked | peak beyond the weights | seconds |\n|---|---|---|---|---|')
  for (const name of names) {
    const child = spawnSync(
      process.execPath,
      [
        ...[fileURLToPath(import.meta.url), '--peak', '--data', flags.data, '--task', name, '--alone', '0'],
        ...['--limit', process.argv.includes('--limit') ? flags.limit : `${memoryLimit(findTask(name))}`],
        ...['--hidden', '128', '--layers', '4', '--bootstrap', flags.bootstrap],
      ],
      { encoding: 'utf8' },
    )
    const why = /\[(TASK_\w+)\]|code: '(\w+)'/.exec(child.stderr)?.slice(1).find(Boolean)
    if (child.status !== 0) {
      console.log(`| ${name} | ${why ?? child.stderr} | | | |`)
      continue
    }
    const { available, questions, peak, seconds } = JSON.parse(child.stdout)
    const columns = [name, grouped(available), grouped(questions), megabytes(peak), seconds.toFixed(1)]
    console.log(`| ${columns.join(' | ')} |`)
  }
}

/** Questions of each task: what takes long takes few. */
function memoryLimit(task) {
  if (isGroup(task)) return 10
  if (task.output !== 'generate_code') return task.output === 'generate_until' ? 64 : 200
  return task.draws === undefined ? 16 : 2
}

function grouped(count) {
  return count.toLocaleString('en-US')
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(0)} MB`
}

/** For tasks whose output is code. */
function codeRunner() {
  const languages = new Map(
    tasks.flatMap(({ output, language, name }) => (output === 'generate_code' ? [[language, name]] : [])),
  )
  return languages.size === 0 ? undefined : new CodeRunner(languages)
}

function cpuSeconds() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function nats(logits, tokens, scored) {
  const { vocabSize } = config
  let total = 0
  for (let at = tokens.length - scored; at < tokens.length; at++) {
    const row = logits.subarray((at - 1) * vocabSize, at * vocabSize)
    let sum = 0
    for (const logit of row) sum += Math.exp(logit)
    total += row[tokens[at]] - Math.log(sum)
  }
  return total
}

function randomModel() {
  const tokenizer = flags.tokenizer === undefined ? trainedTokenizer() : loadTokenizer(flags.tokenizer)
  const d = Number(flags.hidden)
  const shape = {
    ...{
      hiddenSize: d,
      intermediateSize: Math.round((8 * d) / 3 / 32) * 32,
      numHiddenLayers: Number(flags.layers),
    },
    ...{ numAttentionHeads: 8, numKeyValueHeads: 8, vocabSize: tokenizer.vocabSize, tieWordEmbeddings: true },
  }
  const config = { ...randomConfig(shape, 0, 2048), activation: 'silu' }
  return new LanguageModel(new EngineModel(config, randomWeights(config, 'f32')), tokenizer)
}

function trainedTokenizer() {
  const corpus = path.join(mkdtempSync(path.join(tmpdir(), 'flicker-bench-')), 'questions.txt')
  const texts = all.flatMap(questions =>
    Array.from({ length: Math.min(2000, questions.rows.length) }, (_, i) => textsOf(questions, i)),
  )
  writeFileSync(corpus, texts.join('\n\n'))
  return prepareData({ corpus, tokenizer: 'bpe:4096' }).tokenizer
}

/** What the model reads of one question. */
function textsOf(questions, index) {
  const { task, rows } = questions
  if (task.output === 'multiple_choice' || task.output === 'loglikelihood') {
    return requestsOf(questions, index).map(r => r.prompt + r.continuation)
  }
  return [task.prompt(rows.at(index).row)]
}
