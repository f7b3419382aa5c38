// What the kernels of a pass have in common: products with a model's matrices, and norms, on the buffers of the pass.

import {
  compilerOf,
  type DeviceMatrix,
  type DeviceMemory,
  type Dispatch,
  type Gpu,
  HEAD_NORM_ACCESS,
  headNormCode,
  JOIN_ACCESS,
  joinCode,
  type KernelCompiler,
  MATVEC_ACCESS,
  type MatvecShape,
  matvecCode,
  NORM_ACCESS,
  type NormedRow,
  type NormShape,
  normCode,
  ROWS_PER_WORKGROUP,
} from '../../kernels/webgpu/index.js'
import type { ModelConfig } from '../../nn/config.js'
import { addsAtOnce, type PassBuffers } from './pass-buffers.js'

/** Rows of a matrix from which on a group of lanes computes several together: with fewer, some of the GPU would be idle. */
const MANY_ROWS = 4096

export class DeviceProducts {
  readonly config: ModelConfig
  readonly buffers: PassBuffers
  readonly gpu: Gpu
  readonly memory: DeviceMemory
  readonly compiler: KernelCompiler
  /** Bound where a kernel reads nothing. */
  readonly nothing: GPUBuffer
  /** Whether branches add to the residual stream as they are. */
  readonly #addsAtOnce: boolean

  constructor(gpu: Gpu, memory: DeviceMemory, config: ModelConfig, buffers: PassBuffers) {
    this.gpu = gpu
    this.memory = memory
    this.config = config
    this.buffers = buffers
    this.compiler = compilerOf(gpu)
    this.nothing = memory.buffer(16)
    this.#addsAtOnce = addsAtOnce(config)
  }

  /** Of every part of a matrix: its product with `x`, into `y` from row `start` on. */
  matvec(
    { type, rows, parts }: DeviceMatrix,
    [extra, x, y]: readonly [extra: GPUBuffer, x: GPUBuffer, y: GPUBuffer],
    shape: Omit<MatvecShape, 'type' | 'together'>,
    start = 0,
  ): Promise<Dispatch[]> {
    const { info } = this.gpu
    const together = rows >= MANY_ROWS ? info.together : 1
    const code = matvecCode({ ...shape, type, together }, info)
    return Promise.all(
      parts.map(async ({ buffer, first, count }) => {
        const kernel = await this.compiler.compile(code, MATVEC_ACCESS, {
          FIRST: start + first,
          COUNT: count,
        })
        const group = kernel.bind([buffer, x, y, extra, this.buffers.rows])
        return { kernel, group, workgroups: Math.ceil(count / (ROWS_PER_WORKGROUP * together)) }
      }),
    )
  }

  normShape(columns: number, kind: NormShape['kind'] = this.config.norm ?? 'rms'): NormShape {
    return { kind, eps: this.config.rmsNormEps, columns }
  }

  /** `to` = the norm of x with these weights, or without them x itself. */
  async norm(weights: GPUBuffer | null, row: NormedRow, to: GPUBuffer): Promise<Dispatch[]> {
    const code = normCode(weights && this.normShape(row.columns), row)
    const kernel = await this.compiler.compile(code, NORM_ACCESS)
    return [{ kernel, group: kernel.bind([this.buffers.x, weights ?? this.nothing, to]), workgroups: 1 }]
  }

  /** x += what a branch has left, normed and scaled as the model says. */
  async join(weights: GPUBuffer | null): Promise<Dispatch[]> {
    if (this.#addsAtOnce) return []
    const { hiddenSize, residualScale = 1 } = this.config
    const { x, branch } = this.buffers
    const code = joinCode(hiddenSize, weights && this.normShape(hiddenSize), residualScale)
    const kernel = await this.compiler.compile(code, JOIN_ACCESS)
    return [{ kernel, group: kernel.bind([weights ?? this.nothing, branch, x]), workgroups: 1 }]
  }

  /** RMSNorm in place of `count` stretches of `columns` values of rows of `width` in qkv, from element `first` on. */
  async headNorm(
    weights: GPUBuffer,
    { columns, count, first, width }: Record<'columns' | 'count' | 'first' | 'width', number>,
  ): Promise<Dispatch> {
    const code = headNormCode(this.normShape(columns, 'rms'), first, width)
    const kernel = await this.compiler.compile(code, HEAD_NORM_ACCESS)
    return { kernel, group: kernel.bind([weights, this.buffers.qkv]), workgroups: count }
  }
}
