// What sharing the beginnings of questions is worth: tasks through `flicker eval`'s runner against each choice scored alone,
// from the first token on, through the engine's logits. Prints seconds, their ratio and the largest difference in nats.
//
//   node bench/eval-tasks.mjs --data DIR [--task hellaswag] [--limit 1000] [--alone 100] [--model PATH --tokenizer PATH]
//
// Without --model a random model of 20 M weights with a vocabulary of 4,096 trained on the questions themselves. --alone: so
// many of the questions are scored alone, and the time is scaled.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { randomConfig, randomWeights } from '../dist/bench/random-model.js'
import { prepareData } from '../dist/data/prepare.js'
import { EngineModel, LanguageModel, load } from '../dist/engine/index.js'
import { questionsOf, requestsOf } from '../dist/eval/questions.js'
import { scoredTokens } from '../dist/eval/requests.js'
import { TaskData } from '../dist/eval/rows.js'
import { runTasks } from '../dist/eval/run-tasks.js'
import { findTask, isGroup } from '../dist/eval/tasks/index.js'
import { machineInfo } from '../dist/kernels/machine-info.js'

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
  },
})
const found = findTask(flags.task)
const tasks = isGroup(found) ? found.tasks : [found]
const data = new TaskData(flags.data)
const limit = Number(flags.limit)
const all = tasks.map(task => questionsOf(task, data, { limit }))
const model =
  flags.model === undefined ? randomModel() : await load(flags.model, { tokenizer: flags.tokenizer })
const { engine, tokenizer, config } = model

const directory = mkdtempSync(path.join(tmpdir(), 'flicker-bench-'))
const started = performance.now()
const results = await runTasks(model, tasks, { data, limit, seed: 1, bootstrap: 0, directory, settings: {} })
const seconds = (performance.now() - started) / 1000
rmSync(directory, { recursive: true })

const questions = results.reduce((sum, { questions }) => sum + questions, 0)
const { cpu, cores, threads, isa } = machineInfo()
console.log(`${cpu}, ${cores} cores · ${isa}, ${threads} threads`)
console.log(
  `${flags.task}: ${questions} questions in ${seconds.toFixed(1)} s, ${(questions / seconds).toFixed(0)} a second`,
)

const alone = Math.min(Number(flags.alone), all[0].rows.length)
if (alone > 0) {
  const from = performance.now()
  for (let index = 0; index < alone; index++) {
    for (const { prompt, continuation } of requestsOf(all[0], index)) {
      const { tokens, scored } = scoredTokens(tokenizer, prompt, continuation, config.maxPositionEmbeddings)
      nats(engine.logits(tokens.slice(0, -1)), tokens, scored)
    }
  }
  const each = (performance.now() - from) / 1000 / alone
  const ratio = (each * questions) / seconds
  console.log(
    `each choice alone: ${(each * questions).toFixed(1)} s (from ${alone} questions), ${ratio.toFixed(2)} times as long; limit 3 for hellaswag`,
  )
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
  const corpus = path.join(mkdtempSync(path.join(tmpdir(), 'flicker-bench-')), 'questions.txt')
  const texts = all.flatMap(questions =>
    questions.rows
      .slice(0, 2000)
      .flatMap((_, i) => requestsOf(questions, i).map(r => r.prompt + r.continuation)),
  )
  writeFileSync(corpus, texts.join('\n\n'))
  const { tokenizer } = prepareData({ corpus, tokenizer: 'bpe:4096' })
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
