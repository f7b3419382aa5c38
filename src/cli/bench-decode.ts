// `flicker bench decode`: arguments and printing.

import { Command, InvalidArgumentError, Option } from 'commander'
import { benchDecode, type DecodeBenchOptions, type DecodeBenchResult } from '../bench/decode.js'
import { DECODE_SHAPES, type DecodeShape, decodeShape } from '../bench/random-model.js'
import { OptionError } from '../errors.js'
import { defaultThreads } from '../kernels/index.js'
import { integer, number } from './options.js'
import { print, printJson } from './terminal.js'

interface DecodeFlags extends Omit<DecodeBenchOptions, 'shape' | 'threads'> {
  readonly shape: string
  readonly hidden?: number
  readonly intermediate?: number
  readonly layers?: number
  readonly heads?: number
  readonly kvHeads?: number
  readonly vocab?: number
  readonly threads?: number
  readonly json?: boolean
}

export function benchDecodeCommand(): Command {
  return new Command('decode')
    .description('tokens per second of a random model of a given shape, dense and sparse on the same weights')
    .option('--shape <name>', `one of ${Object.keys(DECODE_SHAPES).join(', ')}`, 'sparselm-1.5b')
    .option('--hidden <n>', "hidden size instead of the shape's", integer(2))
    .option('--intermediate <n>', "neurons per layer instead of the shape's", integer(1))
    .option('--layers <n>', "layers instead of the shape's", integer(1))
    .option('--heads <n>', "attention heads instead of the shape's", integer(1))
    .option('--kv-heads <n>', "key/value heads instead of the shape's", integer(1))
    .option('--vocab <n>', "vocabulary instead of the shape's", integer(2))
    .addOption(
      new Option('--dtype <type>', 'how weights are stored')
        .choices(['f32', 'bf16', 'f16', 'q8_0', 'q4_0'])
        .default('bf16'),
    )
    .addOption(
      new Option('--kv <type>', 'how the cache is stored').choices(['f32', 'f16', 'q8']).default('f32'),
    )
    .option('--sparsity <share>', 'share of the neurons that is exactly zero', share, 0.9)
    .addOption(
      new Option('--narrow-gate <mode>', 'sparse decoding with the narrow gate, without, or both (auto)')
        .choices(['on', 'off', 'auto'])
        .default('auto'),
    )
    .option('--tokens <n>', 'tokens measured, of each way', integer(1), 24)
    .option('--samples <n>', 'texts decoded together; 0: not measured', integer(0), 8)
    .option('--prefill <n>', 'tokens of a prompt; 0: not measured', integer(0), 512)
    .option('--threads <n>', 'threads (default: FLICKER_THREADS, else all cores)', integer(1))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Weights are random; each layer's threshold is set so that the share of zeros is the one asked for. Dense and sparse
take turns token by token, the bandwidth of the memory is measured in the same run, and the logits of all ways must
be the same bits. sparselm-1.5b in bf16 needs 4 GB of memory.

Examples:
  flicker bench decode --shape sparselm-1.5b --dtype bf16 --sparsity 0.9 --threads 2
  flicker bench decode --shape sparselm-0.5b --dtype q8_0 --sparsity 0.9 --json
  flicker bench decode --hidden 1024 --intermediate 4096 --layers 12 --heads 16 --kv-heads 16 --prefill 0 --samples 0`,
    )
    .action((flags: DecodeFlags) => {
      const result = benchDecode({
        ...flags,
        shape: shapeOf(flags),
        threads: flags.threads ?? defaultThreads(),
      })
      if (flags.json === true) printJson(result)
      else printDecode(result)
    })
}

function share(text: string): number {
  const value = number(text)
  if (value < 0 || value > 1) throw new InvalidArgumentError(`"${text}" is not a share from 0 to 1.`)
  return value
}

/** The named shape with what the flags change. Throws OptionError SHAPE_UNKNOWN, SHAPE_HEADS. */
function shapeOf(flags: DecodeFlags): DecodeShape {
  const named = decodeShape(flags.shape)
  const numAttentionHeads = flags.heads ?? named.numAttentionHeads
  const shape = {
    ...named,
    hiddenSize: flags.hidden ?? named.hiddenSize,
    intermediateSize: flags.intermediate ?? named.intermediateSize,
    numHiddenLayers: flags.layers ?? named.numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: flags.kvHeads ?? Math.min(named.numKeyValueHeads, numAttentionHeads),
    vocabSize: flags.vocab ?? named.vocabSize,
  }
  const { hiddenSize, numKeyValueHeads } = shape
  if (hiddenSize % (2 * numAttentionHeads) !== 0 || numAttentionHeads % numKeyValueHeads !== 0) {
    throw new OptionError(
      'SHAPE_HEADS',
      `a hidden size of ${hiddenSize} does not go into ${numAttentionHeads} heads of even size with ` +
        `${numKeyValueHeads} key/value heads; give --heads and --kv-heads that do`,
    )
  }
  return shape
}

function printDecode(result: DecodeBenchResult): void {
  const { machine, shape, parameters, weightBytes, sparsity, rows } = result
  const { version, cpu, cores, isa, threads } = machine
  print(`flicker ${version} · ${cpu}, ${cores} cores · ${isa}, ${threads} threads`)
  print(
    `${(parameters / 1e6).toFixed(1)} M parameters (hidden ${shape.hiddenSize}, intermediate ${shape.intermediateSize}, ` +
      `${shape.numHiddenLayers} layers), ${result.dtype}: ${(weightBytes / 1e9).toFixed(2)} GB, ` +
      `made in ${result.buildSeconds.toFixed(1)} s`,
  )
  print(
    `reads ${result.gigabytesPerSecond.toFixed(1)} GB/s · ${percent(sparsity.measured)} of the neurons exactly zero ` +
      `(${percent(sparsity.least)} to ${percent(sparsity.most)}) · medians of ${result.tokens} tokens\n`,
  )
  print('way                   tok/s      ms  ratio  limit of it  MB/token  of the memory limit')
  for (const row of rows) {
    print(
      [
        row.way.padEnd(19),
        row.tokensPerSecond.toFixed(2).padStart(7),
        row.millisecondsPerToken.toFixed(1).padStart(7),
        row.ratio.toFixed(3).padStart(6),
        row.ratioLimit.toFixed(3).padStart(12),
        (row.bytesPerToken / 1e6).toFixed(0).padStart(9),
        percent(row.shareOfLimit).padStart(20),
      ].join(' '),
    )
  }
  print(result.identical ? 'all ways: the same bits' : 'THE WAYS DIFFER: this is a bug, please report it')
  const { prefill, samples } = result
  if (prefill !== null) {
    print(
      `\nprompt of ${prefill.tokens} tokens, matrix product of bench gemm ${prefill.gemmGigaflopsPerSecond.toFixed(0)} GFLOP/s`,
    )
    for (const { ffn, tokensPerSecond, gigaflopsPerSecond, shareOfGemm } of prefill.rows) {
      print(
        `  ${ffn.padEnd(6)} ${tokensPerSecond.toFixed(1)} tok/s, ${gigaflopsPerSecond.toFixed(0)} GFLOP/s, ${percent(shareOfGemm)} of it`,
      )
    }
  }
  if (samples !== null) {
    print(`\n${samples.count} texts of one prompt, together over one after another`)
    for (const { ffn, tokensPerSecond, oneAfterAnother, ratio, identical } of samples.rows) {
      print(
        `  ${ffn.padEnd(6)} ${tokensPerSecond.toFixed(2)} over ${oneAfterAnother.toFixed(2)} tok/s: ${ratio.toFixed(2)}` +
          `${identical ? '' : ', BITS DIFFER: this is a bug, please report it'}`,
      )
    }
  }
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`
}
