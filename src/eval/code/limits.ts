// What a program that a model wrote may use.

export type CodeLanguage = 'python' | 'javascript'

export interface CodeLimits {
  /** Of processor time, as the harness's checker allows; whole seconds. */
  readonly cpuSeconds: number
  /** From start to end. */
  readonly seconds: number
  /** Of memory: address space of Python, heap and data of Node. */
  readonly megabytes: number
  /** Of what it prints. */
  readonly outputBytes: number
  /** Of each file that it writes, and of its directory where that is a file system of its own. */
  readonly fileBytes: number
  readonly directoryBytes: number
}

export const CODE_LIMITS: CodeLimits = {
  cpuSeconds: 3,
  seconds: 10,
  megabytes: 1024,
  outputBytes: 2 ** 16,
  fileBytes: 2 ** 22,
  directoryBytes: 2 ** 26,
}
