// What a file in this directory says of one architecture: how config.json and GGUF's metadata describe it, and which of
// their tensors are ours. The description itself is ModelConfig; nothing else in Flicker knows an architecture by name.

import type { ModelConfig } from '../../nn/config.js'
import type { ConfigJson } from './config-json.js'
import type { GgufKeys, MetadataEntry } from './gguf-keys.js'
import type { TensorMap } from './tensors.js'

/** The fields in which a model differs from Llama's block, as a file gives them. */
export type Differences = Partial<ModelConfig>

/** One architecture in config.json. The facts are those of its configuration and modeling files in transformers. */
export interface HuggingFaceForm {
  /** As in `architectures` of config.json. */
  readonly name: string
  readonly modelType: string
  /** Fields with another name than Llama's, and what Llama calls them. */
  readonly aliases?: Readonly<Record<string, string>>
  /** Defaults of its configuration class, by Llama's names, where they are not Llama's. */
  readonly defaults?: Readonly<Record<string, unknown>>
  /** What transformers runs of the fields that every config.json has. Default: heads of any width and number, rotated whole. */
  readonly runs?: {
    readonly partialRotation?: true
    /** Another base of rotation in layers with a sliding window. */
    readonly localRotation?: true
    readonly ownHeadDim?: false
    readonly groupedHeads?: false
  }
  /** Fields that `describe` reads and that are refused elsewhere. */
  readonly reads?: readonly string[]
  /** `problem` says, with the field, what is not supported. */
  describe(json: ConfigJson): Differences | { readonly problem: string }
  /** Fields to write beside the usual ones, by Llama's names. Absent: it is never written. */
  write?(config: ModelConfig): Readonly<Record<string, unknown>>
  /** Where the model's parameters are. Absent: under our names. */
  tensors?(config: ModelConfig): TensorMap
  /** Tensors beside the model's, which decoding has no use for. */
  readonly ignored?: RegExp
}

/** One architecture in GGUF. The facts are those of llama.cpp (llama-model.cpp, src/models, convert_hf_to_gguf.py). */
export interface GgufForm {
  /** `general.architecture`. */
  readonly name: string
  /** What llama.cpp runs, which the file does not say. */
  readonly activation: string
  /** Whether q and k have the rows of a head in the order of pairs, as ggml's rotation `NORM` wants them. */
  readonly rowsInPairs?: boolean
  /** The tensors of rotary factors that llama.cpp loads with it. Absent: none. */
  readonly factors?: 'one' | 'shortAndLong'
  /** Whether llama.cpp runs it with heads of another width than d / heads. Absent: yes. */
  readonly ownHeadDim?: false
  /** Whether llama.cpp runs it with fewer heads of keys and values than of queries. Absent: yes. */
  readonly groupedHeads?: false
  describe(keys: GgufKeys): Differences | { readonly problem: string }
  /** Keys to write beside the usual ones, without the prefix of the architecture. Absent: it is never written. */
  write?(config: ModelConfig): readonly MetadataEntry[]
  /** Where the model's parameters are. Absent: under the names of gguf/names.ts. */
  tensors?(config: ModelConfig, usual: TensorMap): TensorMap
}

export interface Architecture {
  readonly huggingFace?: readonly HuggingFaceForm[]
  readonly gguf?: GgufForm
}
