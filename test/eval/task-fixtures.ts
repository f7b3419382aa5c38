// Rows of every task, invented, in the fields of the data sets; and the prompts and continuations that they become, written
// out by hand from the harness's templates.

import fs from 'node:fs'
import path from 'node:path'
import { TASK_GROUPS } from '../../src/eval/tasks/index.js'

export interface TaskCase {
  readonly file: string
  readonly row: unknown
  /** Prompt and continuations of the first question without examples. */
  readonly requests: readonly (readonly [prompt: string, continuation: string])[]
  readonly gold?: number
}

const labeled = (text: string[]) => ({ text, label: ['A', 'B', 'C', 'D', 'E'].slice(0, text.length) })

export const choiceCases: Readonly<Record<string, readonly TaskCase[]>> = {
  hellaswag: [
    {
      file: 'hellaswag_val',
      row: {
        activity_label: 'Baking bread',
        ctx_a: 'A woman kneads dough [title] on a table.',
        ctx_b: 'the Oven',
        endings: [' is hot. [substeps] It  glows.', 'sings.'],
        label: '1',
      },
      requests: [
        ['Baking bread: A woman kneads dough. on a table. The oven', ' is hot. It glows.'],
        ['Baking bread: A woman kneads dough. on a table. The oven', ' sings.'],
      ],
      gold: 1,
    },
    {
      file: 'hellaswag_val',
      row: { query: 'Rowing: The boat', choices: ['sinks.', 'turns.'], gold: 0 },
      requests: [
        ['Rowing: The boat', ' sinks.'],
        ['Rowing: The boat', ' turns.'],
      ],
      gold: 0,
    },
  ],
  piqa: [
    {
      file: 'piqa_val',
      row: { goal: 'Dry a shirt', sol1: 'Hang it.', sol2: 'Bury it.', label: 0 },
      requests: [
        ['Question: Dry a shirt\nAnswer:', ' Hang it.'],
        ['Question: Dry a shirt\nAnswer:', ' Bury it.'],
      ],
      gold: 0,
    },
  ],
  arc_easy: [
    {
      file: 'arc_easy_test',
      row: { query: 'Question: What melts?', choices: ['ice', 'air', 'light'], gold: 0 },
      requests: ['ice', 'air', 'light'].map(c => ['Question: What melts?\nAnswer:', ` ${c}`] as const),
      gold: 0,
    },
    {
      file: 'arc_easy_val',
      row: {
        question: 'What melts?',
        choices: { text: ['air', 'ice'], label: ['1', '2'] },
        answerKey: '2',
      },
      requests: ['air', 'ice'].map(c => ['Question: What melts?\nAnswer:', ` ${c}`] as const),
      gold: 1,
    },
  ],
  arc_challenge: [
    {
      file: 'arc_challenge_val',
      row: { question: 'Why?', choices: labeled(['so', 'thus', 'no', 'oh', 'ah']), answerKey: 'E' },
      requests: ['so', 'thus', 'no', 'oh', 'ah'].map(c => ['Question: Why?\nAnswer:', ` ${c}`] as const),
      gold: 4,
    },
  ],
  winogrande: [
    {
      file: 'winogrande_val',
      row: { sentence: 'Ann thanked Eve because _ had helped.', option1: 'Ann', option2: 'Eve', answer: '2' },
      requests: [
        ['Ann thanked Eve because Ann', ' had helped.'],
        ['Ann thanked Eve because Eve', ' had helped.'],
      ],
      gold: 1,
    },
  ],
  boolq: [
    {
      file: 'boolq_val',
      row: { passage: 'Bats fly.', question: 'do bats fly', answer: true },
      requests: [
        ['Bats fly.\nQuestion: do bats fly?\nAnswer:', ' no'],
        ['Bats fly.\nQuestion: do bats fly?\nAnswer:', ' yes'],
      ],
      gold: 1,
    },
    {
      file: 'boolq_val',
      row: { passage: 'Bats fly.', question: 'do cats fly', label: 0 },
      requests: [
        ['Bats fly.\nQuestion: do cats fly?\nAnswer:', ' no'],
        ['Bats fly.\nQuestion: do cats fly?\nAnswer:', ' yes'],
      ],
      gold: 0,
    },
  ],
  openbookqa: [
    {
      file: 'openbookqa_val',
      row: { question_stem: 'Ice is', choices: labeled(['cold', 'hot']), answerKey: 'A' },
      requests: [
        ['Ice is', ' cold'],
        ['Ice is', ' hot'],
      ],
      gold: 0,
    },
  ],
  commonsense_qa: [
    {
      file: 'csqa_val',
      row: {
        question: ' Where is milk? ',
        choices: labeled(['sea', 'sky', 'fridge', 'moon', 'mine']),
        answerKey: 'C',
      },
      requests: ['A', 'B', 'C', 'D', 'E'].map(
        letter =>
          [
            'Question: Where is milk?\nA. sea\nB. sky\nC. fridge\nD. moon\nE. mine\nAnswer:',
            ` ${letter}`,
          ] as const,
      ),
      gold: 2,
    },
  ],
  mmlu_high_school_physics: [
    {
      file: 'mmlu_test',
      row: {
        subject: 'high_school_physics',
        question: 'Unit of force? ',
        choices: ['N', 'J', 'W', 'V'],
        answer: 0,
      },
      requests: ['A', 'B', 'C', 'D'].map(
        letter =>
          [
            'The following are multiple choice questions (with answers) about high school physics.\n\nUnit of force?\nA. N\nB. J\nC. W\nD. V\nAnswer:',
            ` ${letter}`,
          ] as const,
      ),
      gold: 0,
    },
  ],
  mmlu_high_school_physics_continuation: [
    {
      file: 'mmlu_test',
      row: { subject: 'high_school_physics', question: 'Unit of force?', choices: ['N', 'J'], answer: 1 },
      requests: ['N', 'J'].map(
        choice =>
          [
            'The following are multiple choice questions (with answers) about high school physics.\n\nQuestion: Unit of force?\nAnswer:',
            ` ${choice}`,
          ] as const,
      ),
      gold: 1,
    },
  ],
  blimp_adjunct_island: [
    {
      file: 'blimp',
      row: { UID: 'adjunct_island', good: 'Who left?', bad: 'Left who?' },
      requests: [
        ['', ' Who left?'],
        ['', ' Left who?'],
      ],
      gold: 0,
    },
    {
      file: 'blimp',
      row: { UID: 'adjunct_island', sentence_good: 'She ran.', sentence_bad: 'She run.' },
      requests: [
        ['', ' She ran.'],
        ['', ' She run.'],
      ],
      gold: 0,
    },
  ],
  lambada_openai: [
    {
      file: 'lambada_openai_test',
      row: { text: 'the cat sat on the mat' },
      requests: [['the cat sat on the', ' mat']],
    },
    {
      file: 'lambada_openai_test',
      row: { context: 'the dog', continuation: 'barks' },
      requests: [['the dog', ' barks']],
    },
  ],
}

/** Writes rows as JSON lines; returns the directory. */
export function writeRows(directory: string, file: string, rows: readonly unknown[]): string {
  fs.mkdirSync(directory, { recursive: true })
  fs.writeFileSync(
    path.join(directory, `${file}.jsonl`),
    rows.map(row => `${JSON.stringify(row)}\n`).join(''),
  )
  return directory
}

/** A directory with a few rows of every task, enough for five examples. */
export function writeEveryTask(directory: string): void {
  const files = new Map<string, unknown[]>()
  for (const { file, row } of Object.values(choiceCases).flat()) {
    // One shape in a file is enough.
    if (!files.has(file)) files.set(file, [row])
  }
  const names = (group: string, prefix: string) =>
    (TASK_GROUPS.find(({ name }) => name === group)?.tasks ?? []).map(({ name }) => name.replace(prefix, ''))
  const pair = (UID: string) => ({ UID, good: 'She ran.', bad: 'She run.' })
  files.set('blimp', names('blimp', 'blimp_').map(pair))
  const question = { question: 'Which?', choices: ['a', 'b', 'c', 'd'], answer: 1 }
  const subjects = names('mmlu', 'mmlu_').map(subject => ({ subject, ...question }))
  files.set('mmlu_test', subjects)
  files.set('mmlu_dev', Array.from({ length: 5 }, () => subjects).flat())
  const sums = Array.from({ length: 6 }, (_, i) => ({ question: `1 + ${i}?`, answer: `#### ${i + 1}` }))
  files.set('gsm8k_train', sums)
  files.set('gsm8k_test', sums)
  for (const [file, rows] of files) writeRows(directory, file, rows)
}
