// The native machine checks its programs: a program that does not fit is refused, and never runs outside its slots.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { availableKernels } from '../../src/kernels/index.js'
import { nativeFunctions } from '../../src/kernels/native/addon.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'

const natives = availableKernels().filter(({ backend }) => backend === 'native')
const [rows, width] = [3, 20]

/** Calls the native machine with a program's code; everything else fits the sound program. */
function run(isa: string, code: Int32Array, uniforms = new Float32Array(8)): void {
  const [x, out] = [new Float32Array(rows * width).fill(0.5), new Float32Array(rows * width)]
  const parameters = new Float32Array(2 * width)
  const words = [1, 2, 3, 4, 5] as const
  nativeFunctions(isa).programForward(
    code,
    uniforms,
    parameters,
    0,
    0,
    1,
    2,
    x,
    null,
    out,
    rows,
    width,
    ...words,
  )
}

it.runIf(natives.length === 0)('there are no native kernels here to test', () => {})

describe.each(natives.map(({ isa }) => isa))('%s', isa => {
  const sound = parseActivation('rbf').programs?.forward.code ?? new Int32Array(0)

  it('a sound program runs', () => {
    expect(() => run(isa, sound)).not.toThrow()
  })

  it('a shortened program is a RangeError', () => {
    for (let length = 0; length < sound.length; length++) {
      expect(() => run(isa, sound.slice(0, length))).toThrow(RangeError)
    }
  })

  it('uniforms and parameters that are too short are a RangeError', () => {
    expect(() => run(isa, sound, new Float32Array(0))).toThrow(RangeError)
  })

  it('whatever numbers stand in it, it runs or is refused', () => {
    const random = new RandomStream({ seed: 4, purpose: Purpose.data, stream: 9 })
    const interesting = [-1, 0, 1, 2, 5, 19, 26, 27, 100, 512, 513, 2 ** 31 - 1, -(2 ** 31)]
    for (let i = 0; i < 2000; i++) {
      const code = sound.slice()
      for (let changes = 1 + random.below(3); changes > 0; changes--) {
        code[random.below(code.length)] = interesting[random.below(interesting.length)]
      }
      try {
        run(isa, code)
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
      }
    }
  })
})
