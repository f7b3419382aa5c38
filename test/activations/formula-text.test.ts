// Formulas as the docs print them, for functions whose definitions are published: the notation says what is computed.

import { expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'

it.each([
  ['relu', 'max(x, 0)', '1[x > 0]'],
  ['relu2', 'max(x, 0)²', '2·max(x, 0)·1[x > 0]'],
  ['silu', 'x·σ(x)', 'σ(x) + x·σ(x)·(1 − σ(x))'],
  ['leaky-relu', '{x if x > 0; else slope·x}', '{1 if x > 0; else slope}'],
  ['gelu', 'x·Φ(x)', 'Φ(x) + x·φ(x)'],
  ['relu6', 'min(max(x, 0), 6)', '{1[x > 0] if max(x, 0) < 6; else 0}'],
  ['fatrelu', '{0 if x < t; else x}', '{0 if x < t; else 1}'],
  ['elu', '{x if x > 0; else α·expm1(x)}', '{1 if x > 0; else α·exp(x)}'],
  [
    'smelu',
    '{0 if x ≤ −β; (x + β)²/(4·β) if x < β; else x}',
    '{0 if x ≤ −β; 0.5·(x + β)/β if x < β; else 1}',
  ],
  [
    'stocha',
    '{x if x > 0; x·σ(x) if u < p; else max(x, 0)}',
    '{1 if x > 0; σ(x) + x·σ(x)·(1 − σ(x)) if u < p; else 1[x > 0]}',
  ],
])('%s is %s, its derivative %s', (name, formula, derivative) => {
  expect(parseActivation(name)).toMatchObject({ formula, derivativeFormula: derivative })
})
