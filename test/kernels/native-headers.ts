// Writes the files in which the two languages meet, out of the TypeScript that defines them: native/ids.h (what every
// shared number means), native/contract.h (how the arguments of each native function are read and checked) and
// src/kernels/native/signatures.ts (their types). Both languages get a digest of all three, by which an addon that was
// compiled from other sources is recognized.

import { createHash } from 'node:crypto'
import { drawUnits, FusedKernel, keptActivations, keptNeurons } from '../../src/activations/activation.js'
import { operations } from '../../src/activations/expression.js'
import { inputKinds } from '../../src/activations/programs.js'
import { cacheTypes } from '../../src/kernels/interface/decoding.js'
import { MOST_LEARNED } from '../../src/kernels/interface/mlp.js'
import type { Entry, Parameter } from '../../src/kernels/native/contract/parameters.js'
import { contract } from '../../src/kernels/native/contract.js'
import { CHANNEL_STEP, MOST_CHANNELS } from '../../src/kernels/portable/draws.js'
import { FINER, NARROW_BLOCK } from '../../src/kernels/weights/narrow-index.js'
import { weightTypes } from '../../src/kernels/weights/types.js'

const GENERATED = 'Written by test/kernels/native-headers.ts; change the source and run npm run headers.'

const pascal = (name: string) => name[0].toUpperCase() + name.slice(1)
/** Names with a digit before an underscore keep it: q8_0 is kQ8_0. */
const constantOf = (prefix: string, name: string) => `k${prefix}${pascal(name)}`
export const snake = (text: string) =>
  text.replace(/[a-z][A-Z]/g, pair => `${pair[0]}_${pair[1].toLowerCase()}`)

interface Numbering {
  /** Of the enumeration in C++, and of the constant that says how many there are. */
  readonly type: string
  readonly count: string
  readonly prefix: string
  /** Where the words stand in TypeScript. */
  readonly source: string
  readonly names: readonly string[]
  /** Numbers after the words, with a meaning in kernels alone. */
  readonly more?: readonly string[]
}

const numberings: readonly Numbering[] = [
  {
    type: 'WeightType',
    count: 'weight_types',
    prefix: '',
    source: 'weightTypes in src/kernels/weights/types.ts',
    names: weightTypes,
  },
  {
    type: 'CacheType',
    count: 'cache_types',
    prefix: 'Cache',
    source: 'cacheTypes in src/kernels/interface/decoding.ts',
    names: cacheTypes,
  },
  {
    type: 'FusedKernel',
    count: 'fused_kernels',
    prefix: '',
    source: 'FusedKernel in src/activations/activation.ts',
    names: Object.keys(FusedKernel),
  },
  {
    type: 'DrawUnit',
    count: 'draw_units',
    prefix: 'Per',
    source: 'drawUnits in src/activations/activation.ts; without draws every draw is 0',
    names: drawUnits,
    more: ['kNoDraws'],
  },
  {
    type: 'KeptNeurons',
    count: 'kept_neurons',
    prefix: 'Keep',
    source: 'keptNeurons in src/activations/activation.ts',
    names: keptNeurons,
  },
  {
    type: 'KeptActivation',
    count: 'kept_activations',
    prefix: 'Then',
    source: 'keptActivations in src/activations/activation.ts',
    names: keptActivations,
  },
  {
    type: 'InputKind',
    count: 'input_kinds',
    prefix: 'Input',
    source: 'inputKinds in src/activations/programs.ts',
    names: inputKinds,
  },
  {
    type: 'Operation',
    count: 'operations',
    prefix: 'Op',
    source: 'operations in src/activations/expression.ts',
    names: Object.keys(operations),
  },
]

const constants: readonly (readonly [name: string, value: number, about: string])[] = [
  ['narrow_block', NARROW_BLOCK, 'NARROW_BLOCK in src/kernels/weights/narrow-index.ts'],
  ['narrow_finer', FINER, 'FINER in src/kernels/weights/narrow-index.ts'],
  ['channel_step', CHANNEL_STEP, 'CHANNEL_STEP in src/kernels/portable/draws.ts'],
  ['most_channels', MOST_CHANNELS, 'MOST_CHANNELS in src/kernels/portable/draws.ts'],
  ['most_mlp_learned', MOST_LEARNED, 'MOST_LEARNED in src/kernels/interface/mlp.ts'],
]

export function idsHeader(): string {
  const lists = numberings.map(({ type, count, prefix, source, names, more = [] }) =>
    [
      `/// ${source}.`,
      `enum ${type} : int32_t {`,
      ...[...names.map(name => constantOf(prefix, name)), ...more].map(name => `  ${name},`),
      '};',
      `constexpr int32_t ${count} = ${names.length};`,
    ].join('\n'),
  )
  const values = constants.map(
    ([name, value, about]) => `/// ${about}.\nconstexpr int64_t ${name} = ${value};`,
  )
  return `// Numbers that both languages use.
// ${GENERATED}
// clang-format off
#pragma once

#include <cstdint>

namespace flicker {

${[...lists, ...values].join('\n\n')}

}  // namespace flicker
`
}

/** How a parameter is kept in C++. */
function memberType({ kind }: Parameter): string {
  const types = {
    size: 'int64_t',
    word: 'uint32_t',
    number: 'double',
    flag: 'bool',
    input: 'const float*',
    output: 'float*',
    indices: 'const int32_t*',
    integers: 'const int32_t*',
    counts: 'int32_t*',
    codes: 'const int8_t*',
    codesOut: 'int8_t*',
    weights: 'Weights',
    weightType: 'WeightType',
    cacheType: 'CacheType',
    list: 'Elements',
  } as const
  return types[kind]
}

/** A list first, for its elements may be getters; then what others are measured by; pointers to memory last. */
function readingOrder({ kind }: Parameter): number {
  if (kind === 'list') return 0
  if (['size', 'word', 'number', 'flag', 'weightType', 'cacheType'].includes(kind)) return 1
  return kind === 'indices' ? 2 : 3
}

function readingOf(name: string, { kind, shape, optional, wide, shared }: Parameter): string {
  const at = `at_${name}`
  if (kind === 'weights') {
    const columns = snake(shape.slice(1).join(', '))
    return `${name} = in.weights(${at}, weight_type, ${snake(shape[0])}, ${columns}, Types::${wide ? 'kWide' : 'kAll'});`
  }
  const calls: Record<string, string> = {
    codesOut: 'codes_out',
    weightType: 'weight_type',
    cacheType: 'cache_type',
  }
  const call = calls[kind] ?? kind
  if (shape.length === 0 && !['input', 'output', 'indices'].includes(kind))
    return `${name} = in.${call}(${at});`
  const factors = `{${shape.map(snake).join(', ')}}`
  const rule = [optional && 'kOptional', shared && 'kShared'].filter(Boolean)
  return `${name} = in.${call}(${at}, ${factors}${rule.map(one => `, ${one}`).join('')});`
}

function structOf(name: string, { parameters, checks = [] }: Entry): string {
  const list = Object.entries(parameters).map(([key, parameter]) => ({ name: snake(key), parameter }))
  const order = [...list].sort((a, b) => readingOrder(a.parameter) - readingOrder(b.parameter))
  const initial = (parameter: Parameter) => (parameter.kind === 'list' ? '' : ' = {}')
  return [
    `struct ${pascal(name)} {`,
    `  enum : size_t { ${list.map(each => `at_${each.name}`).join(', ')}, count };`,
    `  static constexpr const char* names[] = {${Object.keys(parameters)
      .map(key => `"${key}"`)
      .join(', ')}};`,
    ...list.map(each => `  ${memberType(each.parameter)} ${each.name}${initial(each.parameter)};`),
    '',
    `  explicit ${pascal(name)}(Arguments& in) {`,
    ...order.map(each => `    ${readingOf(each.name, each.parameter)}`),
    ...checks.map(
      ([condition, parameter, must]) =>
        `    in.require(${snake(condition).replaceAll('== null', '== nullptr').replaceAll('!= null', '!= nullptr')}, ` +
        `at_${snake(parameter)}, "${must}");`,
    ),
    '    in.finish(count);',
    '  }',
    '};',
    `double call(const ${pascal(name)}& with, Arguments& in, const Kernels& kernels);`,
  ].join('\n')
}

export function contractHeader(): string {
  const entries = Object.entries(contract as Readonly<Record<string, Entry>>)
  const rows = entries.map(([name, { returns }]) => `E(${name}, ${pascal(name)}, ${returns === 'number'})`)
  return `// The arguments of every native function, read and checked: src/kernels/native/contract/ in C++.
// ${GENERATED}
// clang-format off
#pragma once

#include "arguments.h"

namespace flicker::contract {

/// What these files say, shortened: contractDigest in src/kernels/native/signatures.ts.
constexpr const char* digest = "${contractDigest()}";

${entries.map(([name, entry]) => structOf(name, entry)).join('\n\n')}

/// E(name in JavaScript, struct of arguments, whether it returns a number)
#define FLICKER_ENTRIES(E) \\
  ${rows.join(' \\\n  ')}

}  // namespace flicker::contract
`
}

/** How a parameter is typed in TypeScript. */
function signatureType({ kind, optional }: Parameter): string {
  const types = {
    size: 'number',
    word: 'number',
    number: 'number',
    flag: 'boolean',
    input: 'Floats',
    output: 'Floats',
    indices: 'Int32Array',
    integers: 'Int32Array',
    counts: 'Int32Array',
    codes: 'Int8Array',
    codesOut: 'Int8Array',
    weights: 'PlainWeights | Uint8Array',
    weightType: 'number',
    cacheType: 'number',
    list: 'readonly Uint8Array[]',
  } as const
  return optional ? `${types[kind]} | null` : types[kind]
}

export function signaturesModule(): string {
  const rows = Object.entries(contract as Readonly<Record<string, Entry>>).map(([name, entry]) => {
    const parameters = Object.entries(entry.parameters).map(([key, each]) => `${key}: ${signatureType(each)}`)
    const result = entry.returns ?? 'void'
    const line = `  ${name}(${parameters.join(', ')}): ${result}`
    if (line.length <= 110) return line
    return `  ${name}(\n${parameters.map(parameter => `    ${parameter},\n`).join('')}  ): ${result}`
  })
  return `// The native functions as TypeScript sees them: contract.ts as types. ${GENERATED}
// Float arrays must be Float32Arrays at run time.

import type { Floats } from '../interface/training.js'
import type { PlainWeights } from '../weights/types.js'

/** What contract.ts and the shared numbers say, shortened; an addon of the same sources has the same. */
export const contractDigest = '${contractDigest()}'

export interface NativeFunctions {
${rows.join('\n')}
}
`
}

/** Of the shared numbers, and of every function's parameters with their order, kinds and sizes. */
function contractDigest(): string {
  const said = JSON.stringify([contract, idsHeader()])
  return createHash('sha256').update(said).digest('hex').slice(0, 16)
}
