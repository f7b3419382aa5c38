// float16 and bfloat16 as files hold them: the conversions are those of the kernels.

export * from '../kernels/half-precision.js'
