// From expressions to programs: a program is a list of instructions over numbered slots that a machine runs on blocks
// of elements (machine.ts here, native/activation_program.h in C++). Equal parts are computed once, and whatever is the
// same for a whole call (constants, settings, a layer's learned parameters and what follows from them alone) is computed
// in double precision before the call.

import { differentiate, gradients } from './differentiate.js'
import {
  type Expression,
  expression,
  learned,
  next,
  type Operation,
  operations,
  previous,
  type UniformOperation,
  x,
} from './expression.js'
import type { LearnedParameter, Settings } from './parameters.js'
import { scalarFunctions } from './scalar-functions.js'

/** What a program reads per element. `index`: of the draw's channel, of the row of neuron parameters, of the statistic. */
export const inputKinds = ['x', 'previous', 'next', 'draw', 'neuron', 'statistic'] as const
export interface ProgramInput {
  readonly kind: (typeof inputKinds)[number]
  readonly index: number
}

/**
 * Slots are numbered: uniforms, inputs, temporaries. An instruction is five integers: operation (its position in
 * `operations`), destination, three operands (unused ones 0). A destination may be one of the operands.
 */
export interface Program {
  readonly uniformCount: number
  readonly inputs: readonly ProgramInput[]
  readonly temporaries: number
  readonly instructions: Int32Array
  /** Slots of the results. */
  readonly outputs: readonly number[]
  /** All of the above for the native machine: counts, inputs, outputs, instructions. */
  readonly code: Int32Array
  /** into[0 … uniformCount) = the uniforms of a call; `parameters` is the layer's flat buffer. */
  fillUniforms(
    into: Float64Array | Float32Array,
    settings: Settings,
    parameters: ArrayLike<number>,
    width: number,
  ): void
}

/** A number computed over a row from one value per element, before the row's own values. */
export interface RowStatistic {
  readonly kind: 'mean' | 'kthLargest'
  /** One output: the value per element. Reads earlier statistics only. */
  readonly value: Program
  /** kthLargest: one uniform output, k. */
  readonly k?: Program
  /** Outputs: derivatives of the value by x, by every learned number, by every earlier statistic. */
  readonly derivatives?: Program
}

export interface ActivationPrograms {
  readonly learned: readonly LearnedNumber[]
  readonly drawChannels: number
  /** Whether it reads the neighbors of an element. */
  readonly neighbors: boolean
  readonly statistics: readonly RowStatistic[]
  /** One output: f(x). */
  readonly forward: Program
  /** Outputs: f, ∂f/∂x, ∂f/∂θ for every learned number, with neighbors ∂f/∂previous and ∂f/∂next, then ∂f/∂statistic. */
  readonly backward: Program
}

/** One number of the learned parameters, in the order of the flat buffer: those of the layer, then a row per neuron's. */
export interface LearnedNumber {
  readonly name: string
  readonly index: number
  readonly per: 'layer' | 'neuron'
}

function learnedNumbers(parameters: readonly LearnedParameter[]): LearnedNumber[] {
  const numbers = parameters.flatMap(({ name, per, start }) =>
    start.map((_, index) => ({ name, index, per })),
  )
  return [...numbers.filter(({ per }) => per === 'layer'), ...numbers.filter(({ per }) => per === 'neuron')]
}

/** The programs of f = `value` with ∂f/∂x = `slope` (default: differentiated). */
export function compileActivation(
  value: Expression,
  parameters: readonly LearnedParameter[],
  slope: Expression = differentiate(value, x),
): ActivationPrograms {
  const numbers = learnedNumbers(parameters)
  const leaves = leavesOf(value)
  const neighbors = leaves.some(({ op }) => op === 'previous' || op === 'next')
  const statistics = leaves.filter(({ op }) => op === 'rowMean' || op === 'rowKthLargest')
  const leavesLearned = numbers.map(({ name, index }) => learned(name, index))
  const compileAll = (outputs: readonly Expression[]) => compile(outputs, numbers, statistics)

  let backward: Program | undefined
  return {
    learned: numbers,
    drawChannels: leaves.reduce((n, leaf) => (leaf.op === 'draw' ? Math.max(n, leaf.channel + 1) : n), 0),
    neighbors,
    statistics: statistics.map((statistic, i) => {
      const [of, k] = statistic.args
      if (statistic.op === 'rowKthLargest') {
        return { kind: 'kthLargest', value: compileAll([of]), k: compileAll([k]) }
      }
      const derivatives = [
        differentiate(of, x),
        ...gradients(of, [...leavesLearned, ...statistics.slice(0, i)]),
      ]
      return { kind: 'mean', value: compileAll([of]), derivatives: compileAll(derivatives) }
    }),
    forward: compileAll([value]),
    get backward() {
      const others = [...leavesLearned, ...(neighbors ? [previous, next] : []), ...statistics]
      backward ??= compileAll([value, slope, ...gradients(value, others)])
      return backward
    },
  }
}

/** The leaves that `e` depends on, and its row statistics, each after those inside it. */
function leavesOf(e: Expression): Expression[] {
  const seen = new Set<Expression>()
  const found: Expression[] = []
  const walk = (node: Expression): void => {
    if (seen.has(node)) return
    seen.add(node)
    node.args.forEach(walk)
    if (node.args.length === 0 || node.op === 'rowMean' || node.op === 'rowKthLargest') found.push(node)
  }
  walk(e)
  return found
}

/** One distinct value of a program under construction. */
interface Value {
  readonly uniform: boolean
  readonly operation?: Operation
  readonly input?: ProgramInput
  readonly args: readonly number[]
  /** Computes a uniform value from the earlier ones. */
  readonly compute?: (values: Float64Array, call: UniformCall) => number
}

interface UniformCall {
  readonly settings: Settings
  readonly parameters: ArrayLike<number>
  readonly width: number
}

const opcodes = new Map(Object.keys(operations).map((name, code) => [name, code]))

function compile(
  outputs: readonly Expression[],
  numbers: readonly LearnedNumber[],
  statistics: readonly Expression[],
): Program {
  const values: Value[] = []
  const byKey = new Map<string, number>()
  const byNode = new Map<Expression, number>()

  const add = (key: string, make: () => Value): number => {
    let at = byKey.get(key)
    if (at === undefined) {
      at = values.push(make()) - 1
      byKey.set(key, at)
    }
    return at
  }
  const input = (kind: ProgramInput['kind'], index = 0): number =>
    add(`${kind} ${index}`, () => ({ uniform: false, input: { kind, index }, args: [] }))
  const uniform = (key: string, compute: NonNullable<Value['compute']>): number =>
    add(key, () => ({ uniform: true, args: [], compute }))

  const leaf = (e: Expression): number | null => {
    switch (e.op) {
      case 'constant':
        return uniform(`constant ${Object.is(e.value, -0) ? '-0' : e.value}`, () => e.value)
      case 'setting':
        return uniform(`setting ${e.name}`, (_, { settings }) => Number(settings[e.name]))
      case 'width':
        return uniform('width', (_, call) => call.width)
      case 'x':
      case 'previous':
      case 'next':
        return input(e.op)
      case 'draw':
        return input('draw', e.channel)
      case 'rowMean':
      case 'rowKthLargest':
        return input('statistic', statistics.indexOf(e))
      case 'learned': {
        const at = numbers.findIndex(({ name, index }) => name === e.name && index === e.index)
        if (at < 0)
          throw new Error(`the expression uses ${e.name}, which is not a learned parameter of the entry`)
        if (numbers[at].per === 'layer') return uniform(`learned ${at}`, (_, call) => call.parameters[at])
        return input('neuron', at - numbers.findIndex(({ per }) => per === 'neuron'))
      }
      default:
        return null
    }
  }

  const number = (e: Expression): number => {
    const known = byNode.get(e)
    if (known !== undefined) return known
    const at = e.op === 'straightThrough' || e.op === 'named' ? number(e.args[0]) : (leaf(e) ?? applied(e))
    byNode.set(e, at)
    return at
  }

  const applied = (e: Expression): number => {
    const args = e.args.map(number)
    const commutes = e.op === 'add' || e.op === 'mul'
    const key = `${e.op} ${(commutes ? [...args].sort((a, b) => a - b) : args).join(' ')}`
    const f = scalarFunctions[e.op as Operation | UniformOperation]
    if (args.every(at => values[at].uniform)) {
      const [a, b, c] = args
      return add(key, () => ({ uniform: true, args, compute: all => f(all[a], all[b], all[c]) }))
    }
    if (!opcodes.has(e.op)) throw new Error(`${e.op} needs a value that is the same for the whole call`)
    return add(key, () => ({ uniform: false, operation: e.op as Operation, args }))
  }

  const results = outputs.map(e => number(expression(e)))
  return assignSlots(values, results)
}

/** Gives every value a slot; temporaries are used again after their last use. */
function assignSlots(values: readonly Value[], results: readonly number[]): Program {
  const inputs = values.flatMap(({ input }) => (input === undefined ? [] : [input]))
  // Of the uniforms only those that instructions or results read are handed over.
  const read = new Set(results)
  for (const value of values) if (!value.uniform) for (const at of value.args) read.add(at)
  const exported = [...values.keys()].filter(at => values[at].uniform && read.has(at))

  const lastUse = new Map<number, number>()
  values.forEach((value, at) => {
    for (const arg of value.args) lastUse.set(arg, at)
  })
  for (const at of results) lastUse.set(at, values.length)

  const slots = new Map<number, number>(exported.map((at, slot) => [at, slot]))
  let nextInput = exported.length
  const firstTemporary = exported.length + inputs.length
  const free: number[] = []
  let temporaries = 0
  const instructions: number[] = []
  values.forEach((value, at) => {
    if (value.input !== undefined) slots.set(at, nextInput++)
    if (value.operation === undefined) return
    const operands = value.args.map(arg => slots.get(arg) as number)
    for (const arg of new Set(value.args)) {
      const slot = slots.get(arg) as number
      if (slot >= firstTemporary && lastUse.get(arg) === at) free.push(slot)
    }
    const slot = free.pop() ?? firstTemporary + temporaries++
    slots.set(at, slot)
    instructions.push(
      opcodes.get(value.operation) as number,
      slot,
      ...operands,
      ...[0, 0].slice(operands.length - 1),
    )
  })

  const uniforms = [...values.entries()].flatMap(([at, { compute }]) =>
    compute === undefined ? [] : [{ at, compute }],
  )
  const all = new Float64Array(values.length)
  const outputs = results.map(at => slots.get(at) as number)
  const program = {
    uniformCount: exported.length,
    inputs,
    temporaries,
    instructions: Int32Array.from(instructions),
    outputs,
  }
  return {
    ...program,
    code: encode(program),
    fillUniforms: (into, settings, parameters, width) => {
      const call = { settings, parameters, width }
      for (const { at, compute } of uniforms) all[at] = compute(all, call)
      for (let slot = 0; slot < exported.length; slot++) into[slot] = all[exported[slot]]
    },
  }
}

function encode(program: Omit<Program, 'code' | 'fillUniforms'>): Int32Array {
  const { uniformCount, inputs, temporaries, instructions, outputs } = program
  return Int32Array.from([
    uniformCount,
    inputs.length,
    temporaries,
    instructions.length / 5,
    outputs.length,
    ...inputs.flatMap(({ kind, index }) => [inputKinds.indexOf(kind), index]),
    ...outputs,
    ...instructions,
  ])
}
