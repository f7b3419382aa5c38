// Compiled kernels: a module of WGSL, its pipeline, and the bind groups that give it buffers.

import { type Access, bindings } from './constants.js'
import type { Gpu } from './gpu.js'

export class Kernel {
  readonly pipeline: GPUComputePipeline
  readonly #device: GPUDevice
  readonly #layout: GPUBindGroupLayout

  constructor(device: GPUDevice, pipeline: GPUComputePipeline, layout: GPUBindGroupLayout) {
    this.#device = device
    this.pipeline = pipeline
    this.#layout = layout
  }

  /** Binding i is given[i]. */
  bind(given: readonly GPUBuffer[]): GPUBindGroup {
    const entries = given.map((buffer, binding) => ({ binding, resource: { buffer } }))
    return this.#device.createBindGroup({ layout: this.#layout, entries })
  }
}

/** A kernel with its buffers, and how many workgroups one row of a pass takes. */
export interface Dispatch {
  readonly kernel: Kernel
  readonly group: GPUBindGroup
  readonly workgroups: number
}

const compilers = new WeakMap<Gpu, KernelCompiler>()

/** The compiler of a device: models of one shape share their kernels. */
export function compilerOf(gpu: Gpu): KernelCompiler {
  let compiler = compilers.get(gpu)
  if (compiler === undefined) {
    compiler = new KernelCompiler(gpu)
    compilers.set(gpu, compiler)
  }
  return compiler
}

/** Compiles kernels, each once. */
export class KernelCompiler {
  readonly #gpu: Gpu
  readonly #layouts = new Map<string, GPUBindGroupLayout>()
  readonly #kernels = new Map<string, Promise<Kernel>>()

  constructor(gpu: Gpu) {
    this.#gpu = gpu
  }

  /** The kernel `main` of `code`, whose binding i has accesses[i]; `constants` are its overrides. */
  compile(
    code: string,
    accesses: readonly Access[],
    constants: Record<string, number> = {},
  ): Promise<Kernel> {
    const key = JSON.stringify([code, accesses, constants])
    let kernel = this.#kernels.get(key)
    if (kernel === undefined) {
      kernel = this.#compile(code, accesses, constants)
      this.#kernels.set(key, kernel)
    }
    return kernel
  }

  async #compile(
    code: string,
    accesses: readonly Access[],
    constants: Record<string, number>,
  ): Promise<Kernel> {
    const { device } = this.#gpu
    const key = accesses.join()
    let layout = this.#layouts.get(key)
    if (layout === undefined) {
      layout = device.createBindGroupLayout({ entries: bindings(accesses) })
      this.#layouts.set(key, layout)
    }
    const module = device.createShaderModule({ code })
    try {
      const pipeline = await device.createComputePipelineAsync({
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main', constants },
      })
      return new Kernel(device, pipeline, layout)
    } catch (error) {
      throw await this.#gpu.failure(error)
    }
  }
}
