// MMLU (Hendrycks et al. 2021): 57 subjects, four choices, answered by letter; and the same questions with the text of the
// choice as the answer, which tells small base models apart better.

import { z } from 'zod'
import { defineTask, type Task, type TaskGroup } from '../task.js'
import { LETTERS, lettered } from './rows.js'

const row = z.object({
  subject: z.string(),
  question: z.string(),
  choices: z.array(z.string()),
  answer: z.int(),
})
type Row = z.infer<typeof row>

const SUBJECTS = [
  'abstract_algebra',
  'anatomy',
  'astronomy',
  'business_ethics',
  'clinical_knowledge',
  'college_biology',
  'college_chemistry',
  'college_computer_science',
  'college_mathematics',
  'college_medicine',
  'college_physics',
  'computer_security',
  'conceptual_physics',
  'econometrics',
  'electrical_engineering',
  'elementary_mathematics',
  'formal_logic',
  'global_facts',
  'high_school_biology',
  'high_school_chemistry',
  'high_school_computer_science',
  'high_school_european_history',
  'high_school_geography',
  'high_school_government_and_politics',
  'high_school_macroeconomics',
  'high_school_mathematics',
  'high_school_microeconomics',
  'high_school_physics',
  'high_school_psychology',
  'high_school_statistics',
  'high_school_us_history',
  'high_school_world_history',
  'human_aging',
  'human_sexuality',
  'international_law',
  'jurisprudence',
  'logical_fallacies',
  'machine_learning',
  'management',
  'marketing',
  'medical_genetics',
  'miscellaneous',
  'moral_disputes',
  'moral_scenarios',
  'nutrition',
  'philosophy',
  'prehistory',
  'professional_accounting',
  'professional_law',
  'professional_medicine',
  'professional_psychology',
  'public_relations',
  'security_studies',
  'sociology',
  'us_foreign_policy',
  'virology',
  'world_religions',
]

const subjectOf = ({ subject }: Row) => subject

/** What both groups have in common; the examples, when asked for, are the first of the dev split, in order. */
function common(subject: string) {
  return {
    version: 2,
    about: subject.replaceAll('_', ' '),
    output: 'multiple_choice',
    files: ['mmlu_test'],
    hub: { repo: 'cais/mmlu', config: 'all', split: 'test' },
    row,
    part: { of: subjectOf, is: subject },
    shots: { count: 0, rule: 'first', files: ['mmlu_dev'], split: 'dev' },
    description: `The following are multiple choice questions (with answers) about ${subject.replaceAll('_', ' ')}.\n\n`,
    gold: ({ answer }: Row) => answer,
  } as const
}

function byLetter(subject: string): Task {
  return defineTask<Row>({
    ...common(subject),
    name: `mmlu_${subject}`,
    metrics: ['acc'],
    prompt: ({ question, choices }) => `${question.trim()}\n${lettered(choices)}Answer:`,
    choices: ({ choices }) => LETTERS.slice(0, choices.length),
    answer: ({ answer }) => LETTERS[answer],
  })
}

function byText(subject: string): Task {
  return defineTask<Row>({
    ...common(subject),
    name: `mmlu_${subject}_continuation`,
    metrics: ['acc', 'acc_norm', 'acc_bytes'],
    prompt: ({ question }) => `Question: ${question.trim()}\nAnswer:`,
    choices: ({ choices }) => choices,
    answer: ({ choices, answer }) => choices[answer],
  })
}

export const mmlu: TaskGroup = {
  name: 'mmlu',
  version: 2,
  about: '57 subjects from school to profession, four choices answered by letter',
  weightBySize: true,
  tasks: SUBJECTS.map(byLetter),
}

export const mmluContinuation: TaskGroup = {
  name: 'mmlu_continuation',
  version: 2,
  about: 'the same questions, answered by the text of the choice',
  weightBySize: true,
  tasks: SUBJECTS.map(byText),
}
