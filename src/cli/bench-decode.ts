// `flicker bench decode`: arguments and printing.

import { Command } from 'commander'
import { BENCH_METHODS } from '../bench/cut-model.js'
import { benchDecode, type DecodeBenchOptions, type DecodeBenchResult } from '../bench/decode.js'
import { benchDeviceDecode, type DeviceBenchResult } from '../bench/device-decode.js'
import { DECODE_SHAPES, type DecodeShape, decodeShape } from '../bench/random-model.js'
import { OptionError } from '../errors.js'
import { defaultThreads } from '../kernels/index.js'
import { intervalText } from '../paired-measurement.js'
import { mean } from '../statistics.js'
import {
  activationTypeOption,
  backendOption,
  choiceOption,
  fraction,
  integer,
  jsonOption,
  kvOption,
  splitList,
  threadsOption,
  WEIGHT_TYPES,
} from './options.js'
import { print, printJson } from './terminal.js'

interface DecodeFlags extends Omit<DecodeBenchOptions, 'shape' | 'threads'> {
  readonly shape: string
  readonly hiddenSize?: number
  readonly intermediateSize?: number
  readonly numHiddenLayers?: number
  readonly numAttentionHeads?: number
  readonly numKeyValueHeads?: number
  readonly vocabSize?: number
  readonly threads?: number
  readonly backend: 'cpu' | 'webgpu'
  readonly profile?: boolean
  readonly json?: boolean
}

export function benchDecodeCommand(): Command {
  return new Command('decode')
    .description('tokens per second of a random model of a given shape, dense and sparse on the same weights')
    .addOption(
      choiceOption('--shape <name>', 'shape of the model', Object.keys(DECODE_SHAPES), 'sparselm-1.5b'),
    )
    .option('--hidden-size <n>', "instead of the shape's", integer(2))
    .option('--intermediate-size <n>', "neurons per layer, instead of the shape's", integer(1))
    .option('--num-hidden-layers <n>', "instead of the shape's", integer(1))
    .option('--num-attention-heads <n>', "instead of the shape's", integer(1))
    .option('--num-key-value-heads <n>', "instead of the shape's", integer(1))
    .option('--vocab-size <n>', "instead of the shape's", integer(2))
    .addOption(choiceOption('--dtype <type>', 'how weights are stored', WEIGHT_TYPES, 'bf16'))
    .addOption(kvOption())
    .addOption(activationTypeOption())
    .addOption(
      choiceOption(
        '--method <name>',
        'a SiLU model cut by flicker sparsify to --sparsity, approximate, instead of one with exact zeros',
        BENCH_METHODS,
      ),
    )
    .option(
      '--sparsity <fractions>',
      'fraction of the neurons that is exactly zero; a list is spread over the layers',
      fractions,
      0.9,
    )
    .addOption(
      choiceOption(
        '--narrow-gate <mode>',
        'sparse decoding with the narrow gate (on), without (off), or both (auto)',
        ['on', 'off', 'auto'],
        'auto',
      ),
    )
    .option('--tokens <n>', 'tokens measured with each variant', integer(1), 24)
    .option('--samples <n>', 'sequences decoded together; 0: not measured', integer(0), 8)
    .option('--prefill <n>', 'tokens of a prompt; 0: not measured', integer(0), 512)
    .addOption(threadsOption())
    .addOption(backendOption())
    .option('--profile', 'with --backend webgpu: also time each kernel alone')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Weights are random; each layer's threshold is set so that --sparsity is met. The variants decode the same tokens
alternately, the bandwidth of the memory is measured in the same run, and the logits of all variants must have the same
bits. "Call by call" makes the kernel calls of a token one by one, instead of those that the token before has recorded in
one call. The ratio limit is dense bytes over the variant's, of the whole token and of the FFN alone. plain-1.5b has no gate: its up
matrix decides which neurons are active. sparselm-1.5b in bf16 needs 4 GB of memory. With --backend webgpu, dense and sparse decode on the GPU one text, beside
what its memory gives to a copy; --kv, --narrow-gate, --samples, --prefill and --threads are then of no effect.

Examples:
  flicker bench decode --shape sparselm-1.5b --dtype bf16 --sparsity 0.9 --threads 2
  flicker bench decode --shape plain-1.5b --sparsity 0.9 --prefill 0 --samples 0
  flicker bench decode --sparsity 0.83,0.95,0.97,0.94 --prefill 0 --samples 0
  flicker bench decode --shape sparselm-0.5b --dtype q8_0 --sparsity 0.9 --json
  flicker bench decode --shape sparselm-0.5b --dtype q4_0 --activations int16
  flicker bench decode --method teal --sparsity 0.5
  flicker bench decode --shape quick --dtype f32 --sparsity 0 --tokens 400 --prefill 0 --samples 0
  flicker bench decode --backend webgpu --dtype f16 --sparsity 0.9 --tokens 64
  flicker bench decode --hidden-size 1024 --intermediate-size 4096 --num-hidden-layers 12 --num-attention-heads 16`,
    )
    .action(async (flags: DecodeFlags) => {
      if (flags.backend === 'webgpu') {
        const { dtype, tokens, profile = false } = flags
        const sparsity = typeof flags.sparsity === 'number' ? flags.sparsity : flags.sparsity[0]
        const measured = await benchDeviceDecode({ shape: shapeOf(flags), dtype, sparsity, tokens, profile })
        if (flags.json === true) printJson(measured)
        else printDeviceDecode(measured)
        return
      }
      const result = benchDecode({
        ...flags,
        shape: shapeOf(flags),
        threads: flags.threads ?? defaultThreads(),
      })
      if (flags.json === true) printJson(result)
      else printDecode(result)
    })
}

/** One fraction, or several with commas. */
function fractions(text: string): number | number[] {
  const list = splitList(text).map(fraction)
  return list.length <= 1 ? fraction(text) : list
}

/** The named shape with what the flags change. Throws OptionError SHAPE_UNKNOWN, SHAPE_HEADS. */
function shapeOf(flags: DecodeFlags): DecodeShape {
  const named = decodeShape(flags.shape)
  const numAttentionHeads = flags.numAttentionHeads ?? named.numAttentionHeads
  const shape = {
    ...named,
    hiddenSize: flags.hiddenSize ?? named.hiddenSize,
    intermediateSize: flags.intermediateSize ?? named.intermediateSize,
    numHiddenLayers: flags.numHiddenLayers ?? named.numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: flags.numKeyValueHeads ?? Math.min(named.numKeyValueHeads, numAttentionHeads),
    vocabSize: flags.vocabSize ?? named.vocabSize,
  }
  const { hiddenSize, numKeyValueHeads } = shape
  if (hiddenSize % (2 * numAttentionHeads) !== 0 || numAttentionHeads % numKeyValueHeads !== 0) {
    throw new OptionError(
      'SHAPE_HEADS',
      `a hidden size of ${hiddenSize} cannot be divided into ${numAttentionHeads} heads of even size with ` +
        `${numKeyValueHeads} key/value heads; give --num-attention-heads and --num-key-value-heads that fit`,
    )
  }
  return shape
}

function printDecode(result: DecodeBenchResult): void {
  const { machine, shape, parameters, weightBytes, rows } = result
  const { version, cpu, cores, isa, threads } = machine
  print(`flicker ${version} · ${cpu}, ${cores} cores · ${isa}, ${threads} threads`)
  print(
    `${(parameters / 1e6).toFixed(1)} M parameters (hidden ${shape.hiddenSize}, intermediate ${shape.intermediateSize}, ` +
      `${shape.numHiddenLayers} layers), ${result.dtype}: ${(weightBytes / 1e9).toFixed(2)} GB, ` +
      `made in ${result.buildSeconds.toFixed(1)} s`,
  )
  print(
    `reads ${result.gigabytesPerSecond.toFixed(1)} GB/s · ${zerosText(result)} · medians of ${result.tokens} tokens, ` +
      'variants alternating; ratios with the interval that holds the true median\n',
  )
  print(
    'variant                tok/s      ms           ratio to dense  ratio limit  of the FFN  MB/token  of the memory limit',
  )
  for (const row of rows) {
    print(
      [
        row.variant.padEnd(20),
        row.tokensPerSecond.toFixed(2).padStart(7),
        row.millisecondsPerToken.toFixed(row.millisecondsPerToken < 10 ? 3 : 1).padStart(7),
        intervalText(row.ratio, 3).padStart(24),
        row.ratioLimit.toFixed(3).padStart(12),
        row.ffnRatioLimit.toFixed(3).padStart(11),
        (row.bytesPerToken / 1e6).toFixed(0).padStart(9),
        percent(row.fractionOfLimit).padStart(20),
      ].join(' '),
    )
  }
  print(
    result.identical
      ? result.method === null
        ? result.rows.some(({ variant }) => variant === 'dense, f32')
          ? 'all variants in int16: the same bits; both in f32 too'
          : 'all variants: the same bits'
        : `${result.method}: approximate; the same bits as with its masks and nothing skipped`
      : 'THE VARIANTS DIFFER: this is a bug, please report it',
  )
  const { prefill, samples } = result
  if (prefill !== null) {
    print(
      `\nprompt of ${prefill.tokens} tokens, matrix product of bench gemm ${prefill.gemmGigaflopsPerSecond.toFixed(0)} GFLOP/s`,
    )
    for (const { ffn, tokensPerSecond, gigaflopsPerSecond, fractionOfGemm, ratio } of prefill.rows) {
      print(
        `  ${ffn.padEnd(10)} ${tokensPerSecond.toFixed(1)} tok/s, ${gigaflopsPerSecond.toFixed(0)} GFLOP/s, ${percent(fractionOfGemm)} of it, ${intervalText(ratio, 2)} × dense`,
      )
    }
  }
  if (samples !== null) {
    print(`\n${samples.count} sequences of one prompt, together against one after another`)
    for (const { ffn, tokensPerSecond, oneAfterAnother, ratio, identical } of samples.rows) {
      print(
        `  ${ffn.padEnd(6)} ${tokensPerSecond.toFixed(2)} over ${oneAfterAnother.toFixed(2)} tok/s: ${intervalText(ratio, 2)}` +
          `${identical ? '' : ', BITS DIFFER: this is a bug, please report it'}`,
      )
    }
  }
}

function zerosText({ method, sparsity, bytesSkipped }: DecodeBenchResult): string {
  return method === null
    ? `${percent(sparsity.measured)} of the neurons exactly zero (${percent(sparsity.least)} to ${percent(sparsity.most)})`
    : `cut by ${method} to ${percent(mean([sparsity.asked].flat()))}: ${percent(bytesSkipped)} of all bytes skipped`
}

function printDeviceDecode(result: DeviceBenchResult): void {
  const { shape, bandwidth, zeros, rows, ratio, ratioLimit, identical, profile } = result
  print(`${result.gpu}${result.subgroups ? ', with subgroups' : ''}`)
  print(
    `hidden ${shape.hiddenSize}, intermediate ${shape.intermediateSize}, ${shape.numHiddenLayers} layers, ` +
      `${result.dtype}: ${(result.weightBytes / 1e9).toFixed(2)} GB`,
  )
  print(
    `copies ${(bandwidth.copy / 1e9).toFixed(0)} GB/s (read and written), reads ${(bandwidth.read / 1e9).toFixed(0)} GB/s · ` +
      `${percent(zeros.measured)} of the neurons exactly zero (${percent(zeros.least)} to ${percent(zeros.most)}) · ` +
      `medians of ${result.tokens} tokens\n`,
  )
  print('variant    tok/s       ms  MB/token  of the copy limit')
  for (const { way, tokensPerSecond, millisecondsPerToken, bytesPerToken, fractionOfLimit } of rows) {
    print(
      [
        way.padEnd(7),
        tokensPerSecond.toFixed(1).padStart(8),
        millisecondsPerToken.toFixed(3).padStart(8),
        (bytesPerToken / 1e6).toFixed(0).padStart(9),
        percent(fractionOfLimit).padStart(18),
      ].join(' '),
    )
  }
  print(
    `sparse over dense ${ratio.median.toFixed(3)} (${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}), ` +
      `limit by bytes ${ratioLimit.toFixed(3)}`,
  )
  print(
    identical ? 'dense and sparse: the same bits' : 'THE VARIANTS DIFFER: this is a bug, please report it',
  )
  if (profile.length > 0) print('\nper token µs  per call µs  kernel')
  for (const { kernel, microsecondsPerToken, microsecondsPerCall } of profile) {
    print(
      `${microsecondsPerToken.toFixed(0).padStart(12)} ${microsecondsPerCall.toFixed(2).padStart(12)}  ${kernel}`,
    )
  }
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`
}
