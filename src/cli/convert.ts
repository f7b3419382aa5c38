// `flicker convert`: a model of any kind that Flicker reads, as a Hugging Face directory or a GGUF file.

import { Command } from 'commander'
import { convertModel, type ModelFormat, type WrittenDtype } from '../formats/index.js'
import { localModel } from './hub-models.js'
import { choiceOption, jsonOption, MODEL_KINDS, tokenizerOption, WEIGHT_TYPES } from './options.js'
import { log, print, printJson, progressBar } from './terminal.js'

interface ConvertFlags {
  to?: ModelFormat
  dtype?: WrittenDtype
  tokenizer?: string
  force?: boolean
  json?: boolean
}

export function convertCommand(): Command {
  return new Command('convert')
    .description('write a model as a Hugging Face directory or a GGUF file')
    .argument('<source>', MODEL_KINDS)
    .argument('<destination>', 'directory (hf) or file (gguf) to write')
    .addOption(
      choiceOption('--to <format>', 'default: gguf for a destination that ends in .gguf, else hf', [
        'hf',
        'gguf',
      ]),
    )
    .addOption(
      choiceOption('--dtype <type>', 'how matrices are stored (default: as in the source)', [
        ...WEIGHT_TYPES,
        'q4_k_m',
      ]),
    )
    .addOption(tokenizerOption())
    .option('--force', 'replace what exists at the destination')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
q4_k_m is llama.cpp's mix: q4_k, with q6_k for the head and for v and down in half of the layers. Vectors are stored as f32
in GGUF; a matrix whose rows are not multiples of 256 values as q8_0 instead of a K-quant, of 32 values as f16. A model whose activation
llama.cpp does not have is written so that llama.cpp refuses it instead of running another activation.

Examples:
  flicker convert runs/quick/silu silu.gguf --dtype q8_0
  flicker convert model-hf model.gguf --dtype q4_k_m
  flicker convert model.gguf model-hf
  flicker convert stories260K.bin stories260K --tokenizer tok512.bin`,
    )
    .action(async (model: string, destination: string, flags: ConvertFlags) => {
      const source = await localModel(model, false)
      const { json, to = destination.endsWith('.gguf') ? 'gguf' : 'hf', ...options } = flags
      let bar: ReturnType<typeof progressBar> | undefined
      const onTensor = (done: number, all: number) => {
        bar ??= progressBar('converting', all)
        bar.update(done, `${done} of ${all} tensors`)
      }
      let written: ReturnType<typeof convertModel>
      try {
        written = convertModel(source, destination, { ...options, to, onTensor })
      } finally {
        bar?.stop()
      }
      if (json === true) return printJson({ destination, ...written })
      for (const note of written.notes) log(`note: ${note}`)
      const megabytes = (written.bytes / 1e6).toFixed(1)
      print(
        `${destination}: ${written.format}, ${written.dtype}, ${written.tensors} tensors, ${megabytes} MB`,
      )
    })
}
