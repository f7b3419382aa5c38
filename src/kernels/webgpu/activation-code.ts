// WGSL of an activation, from the program that all backends run: instruction by instruction, one neuron per invocation.
// Draws are the words of Philox that the CPU draws (kernels/portable/draws.ts).

import type { Activation, DrawPer } from '../../activations/activation.js'
import { type Operation, operations } from '../../activations/expression.js'
import type { ActivationPrograms, Program } from '../../activations/programs.js'
import { rankOf } from '../../activations/row-runner.js'
import { OptionError } from '../../errors.js'
import { CHANNEL_STEP } from '../portable/draws.js'

/** How many numbers stand before the program's uniforms in the buffer of a layer: the first is its index. */
export const LAYER_WORDS = 4

const names = Object.keys(operations) as Operation[]

/** WGSL of each operation that is not a function of the same name below or in WGSL itself. */
const operators: Partial<Record<Operation, (a: string, b: string, c: string) => string>> = {
  neg: a => `-${a}`,
  square: a => `${a} * ${a}`,
  add: (a, b) => `${a} + ${b}`,
  sub: (a, b) => `${a} - ${b}`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `${a} / ${b}`,
  greater: (a, b) => `select(0.0, 1.0, ${a} > ${b})`,
  greaterEqual: (a, b) => `select(0.0, 1.0, ${a} >= ${b})`,
  select: (a, b, c) => `select(${c}, ${b}, ${a} != 0.0)`,
  tanh: a => `tanhOf(${a})`,
}

/** Functions that WGSL lacks or computes too roughly near 0. */
const functions: Partial<Record<Operation, string>> = {
  expm1: `fn expm1(a: f32) -> f32 {
  let series = a * fma(a, fma(a, fma(a, fma(a, fma(a, fma(a, fma(a, 1.0 / 40320.0, 1.0 / 5040.0), 1.0 / 720.0), 1.0 / 120.0), 1.0 / 24.0), 1.0 / 6.0), 0.5), 1.0);
  return select(exp(a) - 1.0, series, abs(a) < 0.5);
}`,
  log1p: `fn log1p(a: f32) -> f32 {
  let s = a / (2.0 + a);
  let q = s * s;
  let series = 2.0 * s * fma(q, fma(q, fma(q, fma(q, 1.0 / 9.0, 1.0 / 7.0), 0.2), 1.0 / 3.0), 1.0);
  return select(log(1.0 + a), series, abs(a) < 0.3);
}`,
  softplus: `fn softplus(a: f32) -> f32 { return max(a, 0.0) + log1p(exp(-abs(a))); }`,
  sigmoid: `fn sigmoid(a: f32) -> f32 {
  let e = exp(-abs(a));
  return select(e, 1.0, a >= 0.0) / (1.0 + e);
}`,
  tanh: `fn tanhOf(a: f32) -> f32 {
  let e = expm1(-2.0 * abs(a));
  return sign(a) * (-e / (2.0 + e));
}`,
  erf: `fn erf(a: f32) -> f32 {
  let q = a * a;
  let series = a * 1.1283792 * fma(q, fma(q, fma(q, fma(q, fma(q, fma(q, fma(q, -1.0 / 75600.0, 1.0 / 9360.0), -1.0 / 1320.0), 1.0 / 216.0), -1.0 / 42.0), 0.1), -1.0 / 3.0), 1.0);
  return select(sign(a) * (1.0 - erfcPositive(abs(a))), series, abs(a) < 0.7);
}`,
  normalCdf: `fn normalCdf(a: f32) -> f32 {
  let tail = 0.5 * erfcPositive(abs(a) * 0.70710678);
  return select(tail, 1.0 - tail, a >= 0.0);
}`,
  normalPdf: `fn normalPdf(a: f32) -> f32 { return 0.39894228 * exp(-0.5 * a * a); }`,
}

/** erfc(a), a ≥ 0: a Chebyshev series in 2/(2 + a), to the precision of f32 (activations/scalar-functions.ts). */
const ERFC = `fn erfcPositive(a: f32) -> f32 {
  let t = 2.0 / (2.0 + a);
  let y = 2.0 * t - 1.0;
  var after = 0.0;
  var last = 0.0;
  var c = array<f32, 13>(1.1540674772329393, 0.3554369212704985, 0.06509515882878653, 0.003671142395836639,
    -0.0011128447433526325, -0.0001607582991537808, 3.278031574173137e-5, 5.442441645505016e-6, -1.5154665553171482e-6,
    -1.4297608181169865e-7, 8.234608827419493e-8, -1.2962846852306563e-9, -4.154721631015199e-9);
  for (var j = 12u; j > 0u; j--) {
    let following = c[j] + 2.0 * y * last - after;
    after = last;
    last = following;
  }
  return t * exp(-a * a) * (c[0] / 2.0 + y * last - after);
}`

const needs: Partial<Record<Operation, readonly Operation[]>> = {
  softplus: ['log1p'],
  tanh: ['expm1'],
}

const PHILOX = `fn mulHigh(a: u32, b: u32) -> u32 {
  let aLow = a & 0xffffu;
  let aHigh = a >> 16u;
  let bLow = b & 0xffffu;
  let bHigh = b >> 16u;
  let middle = aHigh * bLow + ((aLow * bLow) >> 16u);
  let carried = aLow * bHigh + (middle & 0xffffu);
  return aHigh * bHigh + (middle >> 16u) + (carried >> 16u);
}
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    c = vec4<u32>(mulHigh(0xcd9e8d57u, c.z) ^ c.y ^ k.x, 0xcd9e8d57u * c.z,
      mulHigh(0xd2511f53u, c.x) ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}`

/** WGSL for the row of the counter: what shares a draw. `row` is the row of the pass; rows of a sample are one text. */
const countedRow: Record<DrawPer, string> = {
  element: 'row.position',
  token: 'row.position',
  neuron: '0u',
  batch: '0u',
  sample: '0u',
}

/**
 * Throws OptionError WEBGPU_ACTIVATION for an activation that no program describes: one that is made of functions of a user.
 */
export function requirePrograms(activation: Activation): ActivationPrograms {
  if (activation.programs !== undefined) return activation.programs
  throw new OptionError(
    'WEBGPU_ACTIVATION',
    `${activation.spec} is made of functions in JavaScript, which a GPU cannot run; write it as an expression, or leave --backend out`,
  )
}

/** Where the numbers of an activation are in the buffer of a layer: of each program its uniforms, then rows of the neurons' parameters. */
function placesOf({ forward, statistics }: ActivationPrograms) {
  let at = LAYER_WORDS
  const take = (count: number) => {
    at += count
    return at - count
  }
  return {
    forward: take(forward.uniformCount),
    statistics: statistics.map(({ value, k }) => ({
      value: take(value.uniformCount),
      rank: take(k === undefined ? 0 : 1),
    })),
    neurons: at,
  }
}

/** The numbers from LAYER_WORDS on; `parameters`: the layer's flat buffer. */
export function activationNumbers(
  activation: Activation,
  parameters: ArrayLike<number>,
  neurons: number,
): Float32Array {
  const programs = requirePrograms(activation)
  const uniformsOf = (program: Program) => {
    const uniforms = new Float64Array(program.uniformCount)
    program.fillUniforms(uniforms, activation.settings, parameters, neurons)
    return uniforms
  }
  const shared = programs.learned.filter(({ per }) => per === 'layer').length
  return Float32Array.from([
    ...uniformsOf(programs.forward),
    ...programs.statistics.flatMap(({ value, k }) => [
      ...uniformsOf(value),
      ...(k === undefined ? [] : [rankOf(uniformsOf(k)[k.outputs[0]], neurons)]),
    ]),
    ...Array.from(parameters).slice(shared),
  ])
}

/** A number over a row that an activation reads: WGSL of the value of each neuron, and of the rank of what is taken. */
export interface StatisticCode {
  readonly kind: 'mean' | 'kthLargest'
  /** Of a neuron, whose pre-activation is `v`. */
  readonly value: (v: string, neuron: string) => string
  readonly rank: string
  /** The variable that takes it. */
  readonly variable: string
}

export interface ActivationCode {
  /**
   * Function activate(v, neuron, row): f(v) of a neuron at a row of the pass. Reads `layerNumbers`: the layer's index, then
   * from LAYER_WORDS on `activationNumbers`. Variables `drawShift` and `drawLayers`, 0 at first, are added to what draws are of:
   * 65536 times the purpose, and the layer. Where it reads neighbors it calls preactivationOf(i32).
   */
  readonly functions: string
  /** What has to be known of a row before `activate` is called, in this order; of an activation of single neurons nothing. */
  readonly statistics: readonly StatisticCode[]
}

/** `purpose`: of the draws. Throws OptionError WEBGPU_ACTIVATION. */
export function activationCode(activation: Activation, neurons: number, purpose: number): ActivationCode {
  const programs = requirePrograms(activation)
  const places = placesOf(programs)
  const used = new Set<Operation>()
  const functionOf = (name: string, program: Program, uniformsAt: number) =>
    programFunction(name, program, {
      activation,
      neurons,
      purpose,
      uniformsAt,
      neuronsAt: places.neurons,
      used,
    })
  const all = [
    functionOf('activate', programs.forward, places.forward),
    ...programs.statistics.map(({ value }, i) =>
      functionOf(`statistic${i}Of`, value, places.statistics[i].value),
    ),
  ]
  for (const operation of [...used]) for (const other of needs[operation] ?? []) used.add(other)
  const helpers = [...used].flatMap(operation => functions[operation] ?? [])
  if (used.has('erf') || used.has('normalCdf')) helpers.unshift(ERFC)
  if (programs.drawChannels > 0) helpers.unshift(PHILOX)
  const variables = programs.statistics.map((_, i) => `var<private> statistic${i}: f32;`)
  return {
    functions: `${helpers.join('\n')}
var<private> drawShift: u32 = 0u;
var<private> drawLayers: u32 = 0u;
${[...variables, ...all].join('\n')}`,
    statistics: programs.statistics.map(({ kind }, i) => ({
      kind,
      value: (v, neuron) => `statistic${i}Of(${v}, ${neuron}, row)`,
      rank: `u32(layerNumbers[${places.statistics[i].rank}u])`,
      variable: `statistic${i}`,
    })),
  }
}

/** A program as a function (v, neuron, row) of its first output. */
function programFunction(
  name: string,
  { uniformCount, inputs, instructions, outputs }: Program,
  use: {
    readonly activation: Activation
    readonly neurons: number
    readonly purpose: number
    readonly uniformsAt: number
    readonly neuronsAt: number
    /** Receives the operations. */
    readonly used: Set<Operation>
  },
): string {
  const { activation, neurons, purpose, uniformsAt, neuronsAt, used } = use
  const slot = (at: number) => `s${at}`
  const drawn = activation.drawPer === 'element' || activation.drawPer === 'neuron' ? 'neuron' : '0u'
  const inputCode = ({ kind, index }: Program['inputs'][number]): string => {
    switch (kind) {
      case 'x':
        return 'v'
      case 'draw': {
        const of = `((${(purpose + index * CHANNEL_STEP) * 65536}u + drawShift) | (u32(layerNumbers[0]) + drawLayers))`
        const counter = `vec4<u32>(${drawn} >> 2u, ${countedRow[activation.drawPer]}, row.sequence, ${of})`
        return `f32(philox(${counter}, vec2<u32>(row.seedLow, row.seedHigh))[${drawn} & 3u] >> 8u) * ${2 ** -24}`
      }
      case 'neuron':
        return `layerNumbers[${neuronsAt + index * neurons}u + neuron]`
      case 'statistic':
        return `statistic${index}`
      case 'previous':
        return 'preactivationOf(i32(neuron) - 1)'
      case 'next':
        return 'preactivationOf(i32(neuron) + 1)'
    }
  }
  const lines: string[] = []
  for (let at = 0; at < uniformCount; at++) {
    lines.push(`let ${slot(at)} = layerNumbers[${uniformsAt + at}u];`)
  }
  for (const [i, input] of inputs.entries())
    lines.push(`let ${slot(uniformCount + i)} = ${inputCode(input)};`)
  // Slots of the program are used again; here every value has a name of its own.
  const current = new Map<number, string>()
  const named = (at: number) => current.get(at) ?? slot(at)
  for (let at = 0; at < instructions.length; at += 5) {
    const [code, out, ...args] = instructions.subarray(at, at + 5)
    const operation = names[code]
    used.add(operation)
    const [a, b, c] = args.map(named)
    const given = [a, b, c].slice(0, operations[operation]).join(', ')
    const value = operators[operation]?.(a, b, c) ?? `${operation}(${given})`
    const result = `v${at / 5}`
    lines.push(`let ${result} = ${value};`)
    current.set(out, result)
  }
  return `fn ${name}(v: f32, neuron: u32, row: Row) -> f32 {
  ${lines.join('\n  ')}
  return ${named(outputs[0])};
}`
}
