// Tests that need a GPU, or a processor that stands in for one: SwiftShader of Debian's package chromium, as
// VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json with libvulkan1. Skipped where there is none, unless FLICKER_GPU
// is `required`.

import { afterAll, describe, it } from 'vitest'
import { type Gpu, type GpuOptions, openGpu } from '../../../src/kernels/webgpu/index.js'

/** Compiling kernels takes SwiftShader seconds, and more on a busy machine. */
export const GPU_TIMEOUT = 600_000

async function opened(options: GpuOptions): Promise<Gpu | string> {
  try {
    return await openGpu(options)
  } catch (error) {
    return (error as Error).message
  }
}

/** `describe` with an open device, which is closed after the tests. */
export async function describeWithGpu(
  name: string,
  tests: (gpu: Gpu) => void,
  options: GpuOptions = {},
): Promise<void> {
  const gpu = await opened(options)
  if (typeof gpu !== 'string') {
    describe(name, { timeout: GPU_TIMEOUT }, () => {
      afterAll(() => gpu.destroy())
      tests(gpu)
    })
  } else if (process.env.FLICKER_GPU === 'required') {
    describe(name, () => {
      it('needs a GPU', () => {
        throw new Error(gpu)
      })
    })
  } else describe.skip(`${name} (${gpu})`, () => it('needs a GPU', () => {}))
}
