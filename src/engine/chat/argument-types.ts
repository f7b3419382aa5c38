// The parameters of a tool one by one: what types their schemas allow. For forms of calls in which an argument's text does not
// say its type.

import { OptionError } from '../../errors.js'
import { adaptJsonSchema, type JsonSchema } from '../grammar/json-schema.js'
import type { ArgumentType } from './tool-format.js'

type Schema = Readonly<Record<string, unknown>>

export interface Parameter {
  readonly key: string
  readonly required: boolean
  /** The simple schemas of which a value fits one: of one type, or with `enum`; an empty one allows anything. */
  readonly schemas: readonly Schema[]
}

/** References deeper than this go in circles. */
const MOST_REFERENCES = 32
const BESIDE_PROPERTIES = [
  ...['type', 'properties', 'required', 'additionalProperties', 'strict'],
  ...['$defs', 'definitions', '$schema', '$id', '$comment', 'title', 'description', 'default', 'examples'],
]

/**
 * The parameters in the order of the schema. Throws OptionError GRAMMAR_REFUSED for a schema that cannot be followed, or that is
 * more than a list of properties.
 */
export function parametersOf(parameters: JsonSchema | undefined): Parameter[] {
  const root = adaptJsonSchema(parameters ?? {}) as Schema | boolean
  if (typeof root !== 'object') return []
  const other = Object.keys(root).find(keyword => !BESIDE_PROPERTIES.includes(keyword))
  if (other !== undefined) {
    throw new OptionError(
      'GRAMMAR_REFUSED',
      `the parameters of a tool have ${other}; this model writes arguments one by one, so its tools need plain properties`,
    )
  }
  const required = Array.isArray(root.required) ? root.required : []
  return Object.entries((root.properties ?? {}) as Schema).map(([key, schema]) => ({
    key,
    required: required.includes(key),
    schemas: simpleSchemas(schema, root, 0),
  }))
}

function simpleSchemas(schema: unknown, root: Schema, depth: number): Schema[] {
  if (typeof schema !== 'object' || schema === null || depth > MOST_REFERENCES) return [{}]
  const { $ref, anyOf, oneOf, allOf, type, ...others } = schema as Schema
  const go = (inner: unknown) => simpleSchemas(inner, root, depth + 1)
  if (typeof $ref === 'string') return go(referenced($ref, root))
  const choices = anyOf ?? oneOf ?? allOf
  if (Array.isArray(choices)) return choices.flatMap(go)
  const { $defs, definitions } = root
  const shared = { ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }) }
  if (others.enum !== undefined || others.const !== undefined) return [others]
  const types = Array.isArray(type) ? type : [type ?? impliedType(others)]
  return types.map(one => (one === undefined ? {} : { ...others, type: one, ...shared }))
}

function referenced(pointer: string, root: Schema): unknown {
  let at: unknown = root
  for (const step of pointer.split('/').slice(1)) {
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as Schema)[key] : undefined
  }
  return at
}

/** The type that the keywords of a schema without one are about. */
function impliedType(schema: Schema): string | undefined {
  const has = (...keywords: string[]) => keywords.some(keyword => keyword in schema)
  if (has('properties', 'required', 'additionalProperties', 'patternProperties')) return 'object'
  if (has('items', 'prefixItems', 'minItems', 'maxItems')) return 'array'
  if (has('pattern', 'minLength', 'maxLength', 'format')) return 'string'
  return has('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum') ? 'number' : undefined
}

/** The values that a schema lists, or null. */
export function listedValues(schema: Schema): readonly unknown[] | null {
  if (schema.const !== undefined) return [schema.const]
  return Array.isArray(schema.enum) ? schema.enum : null
}

export function typeOf(value: unknown): ArgumentType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  const type = typeof value
  return type === 'number' || type === 'boolean' || type === 'object' ? type : 'string'
}

/** The types that a value may have; `any` stands for all. */
export function allowedTypes({ schemas }: Parameter): ReadonlySet<ArgumentType | 'any'> {
  return new Set(
    schemas.flatMap(schema => {
      const listed = listedValues(schema)
      if (listed !== null) return listed.map(typeOf)
      const { type } = schema
      return [type === undefined ? 'any' : type === 'integer' ? 'number' : (type as ArgumentType)]
    }),
  )
}
