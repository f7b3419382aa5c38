// The native functions: name, parameters in order, and how much each array must hold. This table, whose parts stand in
// contract/, is what both languages follow. From it test/kernels/native-headers.ts writes native/contract.h, which reads
// and checks the arguments in C++, and signatures.ts, their types here; a test fails when a written file is not the
// table's, and the build fails when the C++ behind an entry does not take what the table gives it. What a function
// computes is said in ../interface.

import { activationEntries } from './contract/activations.js'
import { decodingEntries } from './contract/decoding.js'
import { mlpEntries } from './contract/mlp.js'
import type { Entry } from './contract/parameters.js'
import { trainingEntries } from './contract/training.js'

export const contract = {
  ...trainingEntries,
  ...activationEntries,
  ...decodingEntries,
  ...mlpEntries,
} as const satisfies Readonly<Record<string, Entry>>

export type EntryName = keyof typeof contract
