// HellaSwag (Zellers et al. 2019): which of four endings continues a description of an activity.

import { z } from 'zod'
import { defineTask } from '../task.js'
import { listedChoices } from './rows.js'

const published = z.object({
  activity_label: z.string(),
  ctx_a: z.string(),
  ctx_b: z.string(),
  endings: z.array(z.string()),
  label: z.coerce.number().pipe(z.int()),
})

/** Rows as published; or with the query already put together, whose second sentence may lack its capital. */
const row = z.union([
  listedChoices,
  published.transform(({ activity_label, ctx_a, ctx_b, endings, label }) => ({
    query: cleaned(`${activity_label}: ${ctx_a} ${capitalized(ctx_b)}`),
    choices: endings.map(cleaned),
    gold: label,
  })),
])

export const hellaswag = defineTask<z.infer<typeof row>>({
  name: 'hellaswag',
  version: 1,
  about: 'which of four endings continues the description of an activity',
  output: 'multiple_choice',
  metrics: ['acc', 'acc_norm', 'acc_bytes'],
  files: ['hellaswag_val'],
  hub: { repo: 'Rowan/hellaswag', config: 'default', split: 'validation' },
  row,
  shots: { count: 0, rule: 'random', files: ['hellaswag_train'], split: 'train', drawsOneMore: true },
  prompt: ({ query }) => query,
  choices: ({ choices }) => choices,
  gold: ({ gold }) => gold,
  answer: ({ choices, gold }) => choices[gold],
})

/** Without the marks that WikiHow's texts were left with. */
function cleaned(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replaceAll(/\[.*?\]/g, '')
    .replaceAll('  ', ' ')
}

/** Python's `capitalize`: the rest becomes lower case. */
function capitalized(text: string): string {
  const [first = '', ...rest] = text
  return first.toUpperCase() + rest.join('').toLowerCase()
}
