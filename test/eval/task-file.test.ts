// A user's own task, from JSON lines and from YAML.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { questionsOf, requestsOf } from '../../src/eval/questions.js'
import { TaskData } from '../../src/eval/rows.js'
import { isTaskFile, readTaskFile } from '../../src/eval/task-file.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const work = temporaryDirectory()
afterAll(() => fs.rmSync(work, { recursive: true }))
const write = (name: string, text: string) => {
  fs.writeFileSync(path.join(work, name), text)
  return path.join(work, name)
}
const asked = (file: string, shots?: number) => questionsOf(readTaskFile(file), new TaskData(null), { shots })
const requests = async (file: string, index = 0) =>
  requestsOf(await asked(file), index).map(({ prompt, continuation }) => [prompt, continuation])

it('a file that is not there is named', async () => {
  expect(() => readTaskFile('./no-such.yaml')).toThrow(/there is no task file \.\/no-such\.yaml/)
  await expect(asked(path.join(work, 'no-such.jsonl'))).rejects.toThrow(
    /no-such: there is no file .*no-such\.jsonl$/,
  )
})

it('a name that ends like a file is one', () => {
  expect(['./a.yaml', 'b.yml', 'c.jsonl', 'd.jsonl.gz'].every(isTaskFile)).toBe(true)
  expect(['piqa', 'blimp_wh_island', 'mmlu'].some(isTaskFile)).toBe(false)
})

it('JSON lines of question, choices and gold', async () => {
  const file = write('colors.jsonl', '{"question": "The sky is", "choices": ["blue", "green"], "gold": 0}\n')
  expect(await requests(file)).toEqual([
    ['The sky is', ' blue'],
    ['The sky is', ' green'],
  ])
  expect(readTaskFile(file)).toMatchObject({ name: 'colors', output: 'multiple_choice' })
})

describe('YAML', () => {
  it('says how a row becomes a prompt, its choices and the right one', async () => {
    write(
      'rows.jsonl',
      '{"q": "Is 3 > 2", "n": 7, "right": "yes"}\n{"q": "Is 2 > 3", "n": 8, "right": "no"}\n',
    )
    const file = write(
      'mine.yaml',
      'task: mine\ndata: rows.jsonl\ndescription: "Answer.\\n"\ndoc_to_text: "{{ n }}. {{q}}?"\ndoc_to_choice: ["no", "yes"]\ndoc_to_target: right\n',
    )
    expect(await requests(file)).toEqual([
      ['Answer.\n7. Is 3 > 2?', ' no'],
      ['Answer.\n7. Is 3 > 2?', ' yes'],
    ])
    // Of two rows the one that is not asked is the example.
    const { before } = await asked(file, 1)
    expect([before.at(0), before.at(1)]).toEqual([
      'Answer.\n8. Is 2 > 3? no\n\n',
      'Answer.\n7. Is 3 > 2? yes\n\n',
    ])
  })

  it('texts that are generated are compared with any of several answers', () => {
    write('facts.jsonl', '{"question": "Q", "gold": ["Ten", "10"]}\n')
    const task = readTaskFile(
      write('facts.yaml', 'task: facts\ndata: facts.jsonl\noutput_type: generate_until\n'),
    )
    if (task.output !== 'generate_until') throw new Error('it generates')
    expect([task.stops, task.maxTokens, task.metrics]).toEqual([['\n'], 256, ['exact_match,none']])
    const row = { question: 'Q', gold: ['Ten', '10'] }
    expect([' ten!', '10', 'eleven'].map(text => task.score(text, row)[0])).toEqual([1, 1, 0])
  })

  it('metrics are those that the file names', () => {
    const file = write('pmi.yaml', 'task: pmi\ndata: rows.jsonl\nmetric_list: [acc, acc_mutual_info]\n')
    expect(readTaskFile(file)).toMatchObject({ metrics: ['acc', 'acc_mutual_info'] })
  })

  it.each([
    ['task: a\ndata: rows.jsonl\nmetric_list: [accc]', /metric_list\[0\]: must be one of acc, /],
    ['task: a b\ndata: rows.jsonl', /task: must be letters/],
    ['task: a\ndata: rows.jsonl\ndoc_to_txt: x', /doc_to_txt: unknown key\. Did you mean "doc_to_text"\?/],
    ['task: a', /data: is missing/],
    ['task: a\ndata: rows.jsonl\ndoc_to_text: "{{ q | upper }}"', /only names of fields may stand in/],
    ['task: a\ndata: none.jsonl', /a: there is no file .*none\.jsonl$/],
    ['task: a\ndata: rows.jsonl\ndoc_to_text: "{{question}}"', /rows\.jsonl:1: question: is missing/],
    [
      'task: a\ndata: rows.jsonl\ndoc_to_text: "{{q}}"\ndoc_to_choice: [maybe]\ndoc_to_target: right',
      /rows\.jsonl:1: the right choice must be one of the 1 given/,
    ],
  ])('%j is refused', async (text, message) => {
    await expect((async () => asked(write('wrong.yaml', text)))()).rejects.toThrow(message)
  })
})
