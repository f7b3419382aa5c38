// Every task's rows become the prompts, continuations and gold answers of lm-evaluation-harness's templates.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type Questions, questionsOf, requestsOf } from '../../src/eval/questions.js'
import { TaskData } from '../../src/eval/rows.js'
import type { Task } from '../../src/eval/task.js'
import { findTask, isGroup, TASK_GROUPS, TASKS } from '../../src/eval/tasks/index.js'
import { temporaryDirectory } from '../formats/tiny-model.js'
import { choiceCases, writeRows } from './task-fixtures.js'

const work = temporaryDirectory()
afterAll(() => fs.rmSync(work, { recursive: true }))
let directories = 0
const fresh = () => path.join(work, String(directories++))

function task(name: string): Task {
  const found = findTask(name)
  if (isGroup(found)) throw new Error(`${name} is a group`)
  return found
}

function questions(name: string, files: Record<string, unknown[]>, options: { shots?: number } = {}) {
  const directory = fresh()
  for (const [file, rows] of Object.entries(files)) writeRows(directory, file, rows)
  return questionsOf(task(name), new TaskData(directory), options)
}

const textsOf = ({ rows, before }: Questions) => [...rows].map((_, i) => before.at(i))

it('every task with choices or a continuation has a case here, one of each group', () => {
  const scored = TASKS.filter(({ output }) => output === 'multiple_choice' || output === 'loglikelihood')
  const names = Object.keys(choiceCases)
  expect(names).toEqual(expect.arrayContaining(scored.map(({ name }) => name)))
  for (const { tasks } of TASK_GROUPS) expect(tasks.some(({ name }) => names.includes(name))).toBe(true)
})

const cases = Object.entries(choiceCases).flatMap(([name, all]) =>
  all.map((one, i) => [name, i, one] as const),
)
it.each(cases)('%s, row %i', async (name, _, { file, row, requests, gold }) => {
  const asked = await questions(name, { [file]: [row] })
  expect(requestsOf(asked, 0).map(({ prompt, continuation }) => [prompt, continuation])).toEqual(requests)
  const { task, rows } = asked
  if (gold !== undefined && task.output === 'multiple_choice') expect(task.gold(rows.at(0).row)).toBe(gold)
})

describe('groups', () => {
  it('have 57 subjects and 67 phenomena, each once', () => {
    const sizes = TASK_GROUPS.map(({ name, tasks }) => [name, new Set(tasks.map(task => task.name)).size])
    expect(sizes).toEqual([
      ['mmlu', 57],
      ['mmlu_continuation', 57],
      ['blimp', 67],
    ])
  })

  it('take from a file the rows that are theirs', async () => {
    const row = (UID: string) => ({ UID, good: `${UID} good`, bad: 'bad' })
    const asked = await questions('blimp_wh_island', { blimp: [row('adjunct_island'), row('wh_island')] })
    expect([...asked.rows].map(({ line }) => line)).toEqual([2])
  })
})

describe('examples before a question', () => {
  const train = Array.from({ length: 10 }, (_, i) => ({
    goal: `g${i}`,
    sol1: `a${i}`,
    sol2: `b${i}`,
    label: i % 2,
  }))

  it('are drawn as Python draws them, one more than is shown where no split is named', async () => {
    // Python: r = random.Random(1234); [[x for x in r.sample(range(10), 3) if x != i][:2] for i in range(10)]
    const drawn = [
      [7, 1],
      [0, 9],
      [1, 5],
      [0, 9],
      [5, 7],
      [2, 1],
      [1, 0],
      [3, 1],
      [1, 9],
      [4, 8],
    ]
    const asked = await questions('piqa', { piqa_val: train, piqa_train: train }, { shots: 2 })
    const shot = (i: number) => `Question: g${i}\nAnswer: ${i % 2 === 0 ? 'a' : 'b'}${i}\n\n`
    expect(textsOf(asked)).toEqual(drawn.map(([first, second]) => shot(first) + shot(second)))
  })

  it('of MMLU are the first of the dev split, in order', async () => {
    const row = (question: string, answer: number, subject = 'virology') => ({
      ...{ subject, question, answer },
      choices: ['w', 'x', 'y', 'z'],
    })
    const dev = [row('d1', 1), row('other', 0, 'anatomy'), row('d2', 2), row('d3', 3)]
    const asked = await questions('mmlu_virology', { mmlu_test: [row('q', 0)], mmlu_dev: dev }, { shots: 2 })
    expect(textsOf(asked)).toEqual([
      'The following are multiple choice questions (with answers) about virology.\n\n' +
        'd1\nA. w\nB. x\nC. y\nD. z\nAnswer: B\n\nd2\nA. w\nB. x\nC. y\nD. z\nAnswer: C\n\n',
    ])
  })

  it('of WinoGrande are whole sentences', async () => {
    const row = { sentence: 'Al met Bo as _ was late.', option1: 'Al', option2: 'Bo', answer: '1' }
    const others = [row, { ...row, answer: '2' }]
    const asked = await questions(
      'winogrande',
      { winogrande_val: [{ ...row, option1: 'Cy' }], winogrande_train: others },
      { shots: 1 },
    )
    expect(['Al met Bo as Al was late.\n\n', 'Al met Bo as Bo was late.\n\n']).toContain(asked.before.at(0))
  })

  it('of Natural Questions stand on lines of their own, after the description', async () => {
    const rows = ['who', 'what', 'when'].map(question => ({ question, answer: [`${question}!`, 'other'] }))
    const asked = await questions(
      'nq_open',
      { nq_open_val: rows, nq_open_train: rows.slice(1) },
      { shots: 1 },
    )
    expect([
      'Answer these questions:\n\nQ: what?\nA: what!\n',
      'Answer these questions:\n\nQ: when?\nA: when!\n',
    ]).toContain(asked.before.at(0))
  })

  it('that are too few are refused with their number', async () => {
    const files = { piqa_val: train, piqa_train: train.slice(0, 2) }
    await expect(questions('piqa', files, { shots: 2 })).rejects.toThrow(
      /piqa: 2 examples need 3 rows to draw from, there are 2/,
    )
  })
})

describe('answers', () => {
  const score = (name: string, text: string, row: unknown) => {
    const found = task(name)
    if (found.output !== 'generate_until') throw new Error(`${name} generates nothing`)
    return found.score(text, found.row.parse(row))
  }

  it.each([
    [' The Beatles!', 1],
    ['beatles', 1],
    // An article is removed only with the space that follows it.
    ['beatles the', 0],
    ['the a beatles', 1],
    ['Stones', 0],
  ])('nq_open: %j', (text, expected) => {
    expect(score('nq_open', text, { question: 'q', answer: ['Rolling', 'the Beatles'] })).toEqual([expected])
  })

  it.each([
    ['U.S.A', 1],
    [' usa\t', 1],
    ['the usa', 0],
  ])('triviaqa: %j', (text, expected) => {
    const row = { question: 'q?', answer: { aliases: ['America', 'USA'] } }
    expect(score('triviaqa', text, row)).toEqual([expected])
  })

  it.each([
    ['It is 1,234 apples.\n#### 1,234', [1, 1]],
    ['So she pays $1234.', [0, 1]],
    ['#### 1234.', [1, 1]],
    ['#### 12 and then 1234', [0, 1]],
    ['#### -1234', [0, 0]],
    ['no number', [0, 0]],
  ])('gsm8k: %j', (text, expected) => {
    expect(score('gsm8k', text, { question: 'q', answer: 'Add 1.\n#### 1,234' })).toEqual(expected)
  })

  it('triviaqa asks with the mark that the question has and one more', () => {
    const found = task('triviaqa')
    const row = found.row.parse({ question: 'Who?', answer: { aliases: ['me'] } })
    expect(found.prompt(row)).toBe('Question: Who??\nAnswer:')
    expect(found.prompt(found.row.parse({ context: 'as it is', aliases: ['me'] }))).toBe('as it is')
  })
})

describe('tasks whose answers are programs', () => {
  const code = (name: string) => {
    const found = task(name)
    if (found.output !== 'generate_code') throw new Error(`${name} writes no programs`)
    return found
  }
  const python = {
    task_id: 'HumanEval/0',
    prompt: 'def one():\n    """One."""\n',
    test: 'def check(candidate):\n    assert candidate() == 1\n',
    entry_point: 'one',
  }

  it('humaneval: the stub, the answer and the test, which is called', () => {
    const { prompt, program, stops, maxTokens } = code('humaneval')
    expect(prompt(python)).toBe(python.prompt)
    expect(program('    return 1', python)).toBe(
      'def one():\n    """One."""\n    return 1\ndef check(candidate):\n    assert candidate() == 1\n\ncheck(one)',
    )
    expect([stops, maxTokens]).toEqual([['\nclass', '\ndef', '\n#', '\nif', '\nprint'], 1024])
    expect(code('humaneval_64')).toMatchObject({ draws: { count: 64, temperature: 0.2, topP: 0.95 } })
  })

  it('humaneval_js: the stub, the answer and the test', () => {
    const row = { ...python, prompt: 'const one = () => {\n', test: 'console.assert(one() === 1)\n' }
    expect(code('humaneval_js').program('  return 1\n}', row)).toBe(
      'const one = () => {\n  return 1\n}\nconsole.assert(one() === 1)\n',
    )
  })

  it('mbpp: rows 11 to 510, after rows 2 to 4 as examples', async () => {
    const row = (task_id: number) => ({
      ...{ task_id, text: `Do ${task_id}.`, code: `f = ${task_id}` },
      test_list: ['assert a', 'assert b', 'assert c'],
    })
    const asked = await questions('mbpp', { mbpp: [1, 2, 3, 4, 5, 10, 11, 510, 511].map(row) })
    expect([...asked.rows].map(({ line }) => line)).toEqual([7, 8])
    const text = (id: number) =>
      `You are an expert Python programmer, and here is your task: Do ${id}. Your code should pass these tests:\n\nassert a\nassert b\nassert c\n[BEGIN]\n`
    const shots = [2, 3, 4].map(id => `${text(id)}f = ${id}\n[DONE]\n\n`).join('')
    expect(textsOf(asked)).toEqual([shots, shots])
    expect(code('mbpp').prompt(row(11))).toBe(text(11))
    expect(code('mbpp').program('f = 1', row(11))).toBe('f = 1\nassert a\nassert b\nassert c')
  })
})

it('wikitext takes spaces back that its tokenization made', () => {
  const page = ' = Title = \n\n The ( old ) house @-@ keeper \'s 1 @,@ 000 " big " cats , dogs . Why ? \n'
  const found = task('wikitext')
  expect(found.prompt({ page })).toBe(
    ' = Title =\n\nThe (old) house-keeper\'s 1,000 "big" cats, dogs. Why?\n',
  )
})

describe('wrong data', () => {
  const piqa = { goal: 'g', sol1: 'a', sol2: 'b', label: 0 }

  it.each([
    [
      'a missing field',
      'piqa',
      'piqa_val',
      [piqa, { goal: 'g', sol1: 'a', label: 0 }],
      /piqa_val\.jsonl:2: sol2: is missing/,
    ],
    [
      'a gold index out of range',
      'piqa',
      'piqa_val',
      [piqa, piqa, { ...piqa, label: 2 }],
      /piqa_val\.jsonl:3: .*2 given.* says 2/,
    ],
    [
      'no choice',
      'hellaswag',
      'hellaswag_val',
      [{ query: 'q', choices: [], gold: 0 }],
      /hellaswag_val\.jsonl:1: there is no choice/,
    ],
    ['an empty choice', 'piqa', 'piqa_val', [{ ...piqa, sol2: '' }], /piqa_val\.jsonl:1: choice 1 is empty/],
    [
      'a key that is no letter',
      'openbookqa',
      'openbookqa_val',
      [{ question_stem: 'q', choices: { text: ['a'], label: ['A'] }, answerKey: 'B' }],
      /openbookqa_val\.jsonl:1: .*−1/,
    ],
    [
      'letters for other choices',
      'openbookqa',
      'openbookqa_val',
      [{ question_stem: 'q', choices: { text: ['a'], label: [] }, answerKey: 'B' }],
      /:1: choices: as many texts as labels/,
    ],
    [
      'a pair without its bad sentence',
      'blimp_wh_island',
      'blimp',
      [{ UID: 'wh_island', good: 'g' }],
      /blimp\.jsonl:1: .*sentence_bad: is missing/,
    ],
    [
      'a blank that is not there',
      'winogrande',
      'winogrande_val',
      [{ sentence: 's', option1: 'a', option2: 'b', answer: '1' }],
      /:1: .*blank/,
    ],
    ['no rows', 'piqa', 'piqa_val', [], /no rows of the task piqa/],
  ])('%s is named by file and line', async (_, name, file, rows, message) => {
    await expect(questions(name, { [file]: rows })).rejects.toThrow(message)
  })

  it('a line that is not JSON', async () => {
    const directory = fresh()
    fs.mkdirSync(directory)
    fs.writeFileSync(path.join(directory, 'piqa_val.jsonl'), `${JSON.stringify(piqa)}\n\n{"goal": \n`)
    await expect(questionsOf(task('piqa'), new TaskData(directory), {})).rejects.toThrow(
      /piqa_val\.jsonl:3: is not JSON/,
    )
  })

  it('a file that is not there is named with its directory', async () => {
    await expect(questions('arc_easy', { other: [] })).rejects.toThrow(
      /arc_easy needs arc_easy_test\.jsonl or arc_easy_val\.jsonl/,
    )
    await expect(questionsOf(task('piqa'), new TaskData(null), {})).rejects.toThrow(/give --data DIR/)
    const row = { goal: 'g', sol1: 'a', sol2: 'b', label: 0 }
    await expect(questions('piqa', { piqa_val: [row] }, { shots: 1 })).rejects.toThrow(
      /piqa needs for its few-shot examples piqa_train\.jsonl/,
    )
  })

  it('an unknown task is answered with the nearest', () => {
    expect(() => findTask('helaswag')).toThrow(/there is no task "helaswag"\. Did you mean "hellaswag"\?/)
  })
})
