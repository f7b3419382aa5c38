// All tasks by name.

import { didYouMean } from '../../did-you-mean.js'
import { OptionError } from '../../errors.js'
import type { Task, TaskGroup } from '../task.js'
import { arcChallenge, arcEasy } from './arc.js'
import { blimp } from './blimp.js'
import { boolq } from './boolq.js'
import { commonsenseQa } from './commonsense-qa.js'
import { gsm8k } from './gsm8k.js'
import { hellaswag } from './hellaswag.js'
import { humaneval, humaneval64, humanevalJs } from './humaneval.js'
import { lambadaOpenai } from './lambada.js'
import { mbpp } from './mbpp.js'
import { mmlu, mmluContinuation } from './mmlu.js'
import { nqOpen, triviaqa } from './open-questions.js'
import { openbookqa } from './openbookqa.js'
import { piqa } from './piqa.js'
import { wikitext } from './wikitext.js'
import { winogrande } from './winogrande.js'

/** In the order of docs/evaluation.md. */
export const TASKS: readonly Task[] = [
  hellaswag,
  piqa,
  arcEasy,
  arcChallenge,
  winogrande,
  boolq,
  openbookqa,
  commonsenseQa,
  lambadaOpenai,
  wikitext,
  nqOpen,
  triviaqa,
  gsm8k,
  humaneval,
  humaneval64,
  humanevalJs,
  mbpp,
]
export const TASK_GROUPS: readonly TaskGroup[] = [mmlu, mmluContinuation, blimp]

/** A task or a group, by its name; a task of a group too. Throws OptionError TASK_UNKNOWN with the nearest name. */
export function findTask(name: string): Task | TaskGroup {
  const inGroups = TASK_GROUPS.flatMap(({ tasks }) => tasks)
  const all = [...TASKS, ...TASK_GROUPS, ...inGroups]
  const found = all.find(task => task.name === name)
  if (found !== undefined) return found
  const near = didYouMean(
    name,
    all.map(task => task.name),
  )
  const names = [...TASKS, ...TASK_GROUPS].map(task => task.name).join(', ')
  throw new OptionError(
    'TASK_UNKNOWN',
    `there is no task "${name}".${near} Tasks: ${names}; or a file of yours, as ./mine.yaml`,
  )
}

/** A task, or those of a group, with acc_mutual_info where each choice follows the same prompt; others as they are. */
export function withMutualInfo(task: Task): Task
export function withMutualInfo(task: Task | TaskGroup): Task | TaskGroup
export function withMutualInfo(task: Task | TaskGroup): Task | TaskGroup {
  if (isGroup(task)) return { ...task, tasks: task.tasks.map(one => withMutualInfo(one)) }
  if (task.output !== 'multiple_choice' || task.partial !== undefined) return task
  return { ...task, metrics: [...new Set([...task.metrics, 'acc_mutual_info' as const])] }
}

export function isGroup(task: Task | TaskGroup): task is TaskGroup {
  return 'tasks' in task
}
