// What `flicker generate` prints beside the text: telemetry and log-probabilities, for people and as JSON.

import type { CompactionSummary, Completion, GeneratedToken } from '../engine/index.js'
import { kernels, measureMachine } from '../kernels/index.js'
import { type ModelConfig, neuronsPerToken } from '../nn/config.js'
import { parameterCounts } from '../nn/parameters.js'
import { log } from './terminal.js'

/** The object of --json. */
export function jsonReport(
  prompt: string,
  completions: readonly Completion[],
  approximation: string | null,
): object {
  return {
    prompt,
    ...(approximation !== null && { approximation }),
    samples: completions.map(({ tokens, ...completion }) => ({
      ...completion,
      tokens: tokens.map(({ sequence: _, pass, activeNeurons, ...token }) => ({
        ...token,
        activeNeurons: [...activeNeurons],
        ffnBytesRead: [...pass.ffnBytesRead],
        ffnBytesSkipped: [...pass.ffnBytesSkipped],
        otherBytesRead: pass.otherBytesRead,
        ...(approximation !== null && { attentionBytesSkipped: pass.attentionBytesSkipped }),
      })),
    })),
  }
}

/** A line per token: its log-probability, then the most likely tokens at that position with theirs. */
export function printTopLogprobs(completions: readonly Completion[]): void {
  for (const { sequence, tokens } of completions) {
    if (completions.length > 1) log(`sequence ${sequence}`)
    for (const { id, logprob, topLogprobs = [] } of tokens) {
      const best = topLogprobs.map(top => `${JSON.stringify(top.text)} ${top.logprob.toFixed(3)}`)
      log(`${String(id).padStart(7)} ${logprob.toFixed(3).padStart(8)} | ${best.join('  ')}`)
    }
  }
}

/** Speed and bytes, held against what the machine can read, and sparsity per layer. */
export function printStats(
  completions: readonly Completion[],
  config: ModelConfig,
  {
    compaction,
    weights,
    approximation,
    backend,
  }: {
    readonly compaction: CompactionSummary | null
    /** The types of the matrices. */
    readonly weights: string
    readonly approximation: string | null
    readonly backend: 'cpu' | 'webgpu'
  },
): void {
  if (approximation !== null) log(approximation)
  const { promptSeconds, tokensPerSecond, bytesReadPerToken, bytesSkippedPerToken } = completions[0].stats
  const tokens = completions.reduce((sum, { usage }) => sum + usage.completionTokens, 0)
  log(`prompt   ${completions[0].usage.promptTokens} tokens in ${promptSeconds.toFixed(3)} s`)
  log(
    `decoded  ${tokens} tokens${tokensPerSecond === null ? '' : `, ${tokensPerSecond.toFixed(1)} tokens/s`}`,
  )
  if (tokensPerSecond !== null && bytesReadPerToken !== null && bytesSkippedPerToken !== null) {
    const all = bytesReadPerToken + bytesSkippedPerToken
    log(
      `memory   ${megabytes(bytesReadPerToken)} read per token, ${megabytes(bytesSkippedPerToken)} skipped ` +
        `(${percent(bytesSkippedPerToken / all)})${backend === 'cpu' ? fractionOfLimit(bytesReadPerToken * tokensPerSecond) : ''}`,
    )
  }
  log(`params   ${parametersText(config)}`)
  log(`weights  ${weights}`)
  if (compaction !== null) {
    const { dropped, neurons, recalled, bytes } = compaction
    log(
      `compact  ${dropped} of ${neurons} neurons out of memory (${megabytes(bytes)}), ${recalled} read back when they fired`,
    )
  }
  log('layer  neurons that are 0  FFN bytes skipped')
  // The first token of a text comes from the pass over the prompt.
  const decoded = completions.flatMap(({ tokens }) => (tokens.length > 1 ? tokens.slice(1) : tokens))
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const active = mean(decoded, token => token.activeNeurons[layer] / neuronsPerToken(config))
    const skipped = mean(decoded, ({ pass }) => {
      const [read, left] = [pass.ffnBytesRead[layer], pass.ffnBytesSkipped[layer]]
      return left / (read + left)
    })
    log(`${String(layer).padStart(5)}  ${percent(1 - active).padStart(17)}  ${percent(skipped).padStart(17)}`)
  }
}

/** The streaming reads of this machine are measured now, after the text. */
function fractionOfLimit(bytesPerSecond: number): string {
  const { backend, isa } = kernels()
  if (backend === 'portable') return ''
  const limit = measureMachine(isa).bytesPerSecond
  return `; ${gigabytes(bytesPerSecond)} of the ${gigabytes(limit)} that memory gives, ${percent(bytesPerSecond / limit)} of the limit`
}

function mean(tokens: readonly GeneratedToken[], of: (token: GeneratedToken) => number): number {
  return tokens.reduce((sum, token) => sum + of(token), 0) / tokens.length
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toPrecision(3)} MB`
}

function gigabytes(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e9).toPrecision(3)} GB/s`
}

/** `46.7 B, 12.9 B of them read for a token (2 of 8 experts)`. */
export function parametersText(config: ModelConfig): string {
  const { total, active } = parameterCounts(config)
  const short = (count: number) =>
    count >= 1e9 ? `${(count / 1e9).toPrecision(3)} B` : `${(count / 1e6).toPrecision(3)} M`
  const { experts } = config
  if (experts === undefined) return short(total)
  return `${short(total)}, ${short(active)} of them read for a token (${experts.perToken} of ${experts.count} experts)`
}
