// Of what the table of native functions is made: the kinds of parameters, and a function for each that writes one down.

/**
 * - `size`: an integer in [0, 2³¹); `word`: an unsigned 32-bit integer; `number`; `flag`: a boolean
 * - `input`, `output`: a Float32Array that is only read, or also written
 * - `indices`: an Int32Array whose values are checked, which therefore may not share memory with an output; `integers`: one
 *   that is only read; `counts`: one that is written
 * - `codes`, `codesOut`: an Int8Array
 * - `weights`: rows of weights; the next parameter, `weightType`, numbers their type
 * - `cacheType`: the number of a type of cache
 * - `list`: an array of Uint8Arrays
 */
export type Kind =
  | 'size'
  | 'word'
  | 'number'
  | 'flag'
  | 'input'
  | 'output'
  | 'indices'
  | 'integers'
  | 'counts'
  | 'codes'
  | 'codesOut'
  | 'weights'
  | 'weightType'
  | 'cacheType'
  | 'list'

export interface Parameter {
  readonly kind: Kind
  /**
   * Of an array: the factors of how many elements it must hold, each an expression of sizes. Of weights: rows, then the
   * columns of each row; a third names columns of another row before it. None: the C++ behind the entry checks the length.
   */
  readonly shape: readonly string[]
  /** Null may stand for the array. */
  readonly optional: boolean
  /** Weights: not the quantized types. */
  readonly wide?: boolean
  /** The array may lie in shared memory: only values are read, so that no check can be overtaken. */
  readonly shared?: boolean
}

export interface Entry {
  readonly parameters: Readonly<Record<string, Parameter>>
  readonly returns?: 'number'
  /** What must hold, the parameter that is blamed if it does not, and what it must be. */
  readonly checks?: readonly (readonly [condition: string, parameter: string, must: string])[]
}

const plain = (kind: Kind): Parameter => ({ kind, shape: [], optional: false })
export const [size, word, number, flag] = [plain('size'), plain('word'), plain('number'), plain('flag')]
export const [weightType, cacheType, list] = [plain('weightType'), plain('cacheType'), plain('list')]
const array = (kind: Kind, optional = false) => {
  return (...shape: string[]): Parameter => ({ kind, shape, optional })
}
export const [input, output] = [array('input'), array('output')]
export const [inputOrNull, outputOrNull] = [array('input', true), array('output', true)]
export const [indices, integers, counts] = [array('indices'), array('integers'), array('counts')]
export const [codes, codesOut] = [array('codes'), array('codesOut')]
export const weights = array('weights')
export const wideWeights = (...shape: string[]): Parameter => ({ ...weights(...shape), wide: true })

/** `Draw` of interface/training.ts as five words; `drawWords` in arguments.ts flattens it. */
export const draw = { seedLow: word, seedHigh: word, tag: word, step: word, firstRow: word }
/** A fused activation: the id of its kernel, and its setting (the probability of SiLU, the threshold of FATReLU). */
export const fused = { kernel: size, p: number }
/** `AttentionScores`: 0 where a field is left out. */
export const scores = { scale: number, softcap: number, window: size }
export const groupedHeads = [['kvHeads > 0 && heads % kvHeads == 0', 'kvHeads', 'must divide heads']] as const
