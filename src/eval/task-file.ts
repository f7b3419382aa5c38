// A user's own task: rows with a question, its choices and the right one as JSON lines, or a YAML file that says how rows
// become prompts. The keys of the YAML file are those of lm-evaluation-harness where it has them.

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { OptionError } from '../errors.js'
import { checkRecipe, parseRecipeYaml, readRecipeText } from '../recipes/recipe-file.js'
import { exactMatch } from './answers.js'
import { defineTask, type Task } from './task.js'

const fileSchema = z.strictObject({
  task: z.string().regex(/^[\w.-]+$/, 'must be letters, digits, _, - and .'),
  version: z.int().min(0).default(1),
  /** JSON lines, relative to this file. */
  data: z.string(),
  /** Rows of the few-shot examples; the same by default. */
  fewshot_data: z.string().optional(),
  output_type: z.enum(['multiple_choice', 'loglikelihood', 'generate_until']).default('multiple_choice'),
  description: z.string().optional(),
  /** Text with `{{field}}` for fields of a row. */
  doc_to_text: z.string().default('{{question}}'),
  /** Field with the list of choices, or the choices themselves. */
  doc_to_choice: z.union([z.string(), z.array(z.string()).min(1)]).default('choices'),
  /** Field with the right answer: an index or the text of a choice; a text, or several that are right. */
  doc_to_target: z.string().default('gold'),
  target_delimiter: z.string().optional(),
  fewshot_delimiter: z.string().optional(),
  num_fewshot: z.int().min(0).default(0),
  /** Of multiple choice. */
  metric_list: z
    .array(z.enum(['acc', 'acc_norm', 'acc_bytes', 'acc_mutual_info']))
    .min(1)
    .default(['acc', 'acc_norm', 'acc_bytes']),
  generation_kwargs: z
    .strictObject({
      until: z.array(z.string().min(1)).default(['\n']),
      max_gen_toks: z.int().min(1).default(256),
    })
    .prefault({}),
})
type TaskFile = z.output<typeof fileSchema>

/** A row of any fields; what the task needs of it is checked field by field. */
type Row = Readonly<Record<string, unknown>>

/** Whether a name of `--tasks` is a file of the user's. */
export function isTaskFile(name: string): boolean {
  return /\.(ya?ml|jsonl|jsonl\.gz)$/.test(name)
}

/** The task in a .yaml file, or the rows {question, choices, gold} of a .jsonl file. Throws RecipeError, OptionError. */
export function readTaskFile(file: string): Task {
  if (!/\.ya?ml$/.test(file)) {
    const task = path
      .basename(file)
      .replace(/\.jsonl(\.gz)?$/, '')
      .replace(/[^\w.-]/g, '_')
    return taskOf(fileSchema.parse({ task, data: path.resolve(file) }), '.')
  }
  if (!fs.existsSync(file)) {
    throw new OptionError(
      'TASK_FILE_MISSING',
      `there is no task file ${file}; give a YAML or JSON-lines file`,
    )
  }
  const { text, name } = readRecipeText(file, 'recipes')
  return taskOf(checkRecipe(parseRecipeYaml(text, name), fileSchema, name), path.dirname(file))
}

function taskOf(file: TaskFile, directory: string): Task {
  const at = (name: string) => path.resolve(directory, name)
  const common = {
    name: file.task,
    version: file.version,
    about: `the task of ${file.data}`,
    files: [at(file.data)],
    row: rowSchema(file),
    shots: {
      count: file.num_fewshot,
      rule: 'random' as const,
      ...(file.fewshot_data !== undefined && { files: [at(file.fewshot_data)] }),
    },
    description: file.description,
    targetDelimiter: file.target_delimiter,
    shotDelimiter: file.fewshot_delimiter,
    prompt: (row: Row) => filled(file.doc_to_text, row),
  }
  if (file.output_type === 'multiple_choice') {
    const choices = (row: Row) => choicesOf(file, row)
    const gold = (row: Row) => indexOf(row[file.doc_to_target], choices(row))
    return defineTask<Row>({
      ...common,
      output: 'multiple_choice',
      metrics: file.metric_list,
      ...{ choices, gold },
      answer: row => choices(row)[gold(row)],
    })
  }
  const golds = (row: Row) => [row[file.doc_to_target]].flat().map(String)
  const answer = (row: Row) => golds(row)[0]
  if (file.output_type === 'loglikelihood')
    return defineTask<Row>({ ...common, output: 'loglikelihood', answer })
  const { until, max_gen_toks } = file.generation_kwargs
  return defineTask<Row>({
    ...common,
    output: 'generate_until',
    metrics: ['exact_match,none'],
    stops: until,
    maxTokens: max_gen_toks,
    answer,
    score: (text, row) => [
      exactMatch(text.trim(), golds(row), { ignoreCase: true, ignorePunctuation: true }),
    ],
  })
}

/** Rows with every field that the task names, each of a type that it can use. */
function rowSchema({ doc_to_text, doc_to_choice, doc_to_target, output_type }: TaskFile): z.ZodType<Row> {
  const scalar = z.union([z.string(), z.number(), z.boolean()])
  const fields: Record<string, z.ZodType> = {}
  for (const name of fieldsOf(doc_to_text)) fields[name] = scalar
  fields[doc_to_target] =
    output_type === 'generate_until' ? z.union([scalar, z.array(scalar).min(1)]) : scalar
  if (output_type === 'multiple_choice' && typeof doc_to_choice === 'string') {
    fields[doc_to_choice] = z.array(z.string())
  }
  return z.looseObject(fields)
}

const FIELD = /\{\{\s*([\w.-]+)\s*\}\}/g

function fieldsOf(template: string): string[] {
  const names = [...template.matchAll(FIELD)].map(([, name]) => name)
  const rest = template.replace(FIELD, '')
  if (!rest.includes('{{')) return names
  throw new OptionError(
    'TASK_TEMPLATE',
    `doc_to_text: only names of fields may stand in {{ }}, as {{question}}; this is not one: ${JSON.stringify(rest)}`,
  )
}

function filled(template: string, row: Row): string {
  return template.replace(FIELD, (_, name: string) => String(row[name]))
}

function choicesOf({ doc_to_choice }: TaskFile, row: Row): readonly string[] {
  if (typeof doc_to_choice !== 'string') return doc_to_choice
  // The schema of the rows has made sure of it.
  return row[doc_to_choice] as readonly string[]
}

/** An index stands for itself, a text for the choice that it is; −1 for none. */
function indexOf(target: unknown, choices: readonly string[]): number {
  return typeof target === 'number' ? target : choices.indexOf(String(target))
}
