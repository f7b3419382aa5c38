// Every error that a user can cause or meet. One class per kind, a stable `code`, and a message that says
// what was wrong, where, and what to do. `exitCode` is what the command line exits with.

/** Base of all errors that Flicker raises on purpose; anything else that surfaces is a bug. */
export class FlickerError extends Error {
  /** Stable identifier such as `CORPUS_EMPTY`; programs match on this, never on the message. */
  readonly code: string
  /** 2 for bad input, 1 for a failure while working. */
  readonly exitCode: number

  constructor(code: string, message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(bounded(message), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.exitCode = options.exitCode ?? 2
  }
}

/** Characters that a message has at most, but for the note of what is left out; how many of them are its end, which says what to do. */
const LONGEST = 1600
const LONGEST_END = 600

/**
 * A message that quotes what a file or a request gave, however long that is: from the middle of more than `LONGEST` characters a
 * part is left out. Most messages shorten what they quote themselves, which reads better.
 */
function bounded(message: string): string {
  const out = message.length - LONGEST
  if (out <= 0) return message
  return `${message.slice(0, LONGEST - LONGEST_END)} … ${out} characters left out … ${message.slice(-LONGEST_END)}`
}

/** Two shapes that do not fit: names the operation and both shapes. */
export class ShapeError extends FlickerError {}
/** An activation that does not exist or has a parameter out of range. */
export class ActivationError extends FlickerError {}
/** A corpus that is missing, empty, binary or too short. */
export class CorpusError extends FlickerError {}
/** A data set, of the lab or of an evaluation's task, that is missing or broken; of the lab also one that is no classification problem. */
export class DatasetError extends FlickerError {}
/** A tokenizer file that cannot be read or does not fit the model. */
export class TokenizerError extends FlickerError {}
/** A checkpoint or weight file that is missing something, truncated or wrongly shaped. */
export class CheckpointError extends FlickerError {}
/** A recipe with an unknown key, a wrong type or a value out of range. */
export class RecipeError extends FlickerError {}
/** An option of a command or an API call that is out of range or contradicts another. */
export class OptionError extends FlickerError {}
/** Training that cannot continue (a loss that is not a number). */
export class TrainingError extends FlickerError {}
/** Reading or writing that the operating system refused (a full disk, no permission). */
export class StorageError extends FlickerError {}
