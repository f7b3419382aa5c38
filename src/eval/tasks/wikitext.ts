// WikiText-2 (Merity et al. 2016), raw, by document: how likely whole pages are. The model reads pages whose spaces around
// punctuation were taken back; words and bytes are those of the page before.

import { z } from 'zod'
import { defineTask } from '../task.js'

const row = z.object({ page: z.string() })

export const wikitext = defineTask<z.infer<typeof row>>({
  name: 'wikitext',
  version: 2,
  about: 'perplexity of whole Wikipedia pages, per word and per byte',
  output: 'loglikelihood_rolling',
  files: ['wikitext_test'],
  hub: { repo: 'EleutherAI/wikitext_document_level', config: 'wikitext-2-raw-v1', split: 'test' },
  row,
  shots: { count: 0, rule: 'random' },
  prompt: ({ page }) => detokenized(page),
  answer: () => '',
  document: ({ page }) => page,
})

/** In this order: each works on what those before it have left. */
const RULES: readonly (readonly [RegExp | string, string])[] = [
  ["s '", "s'"],
  [' @-@ ', '-'],
  [' @,@ ', ','],
  [' @.@ ', '.'],
  [' : ', ': '],
  [' ; ', '; '],
  [' . ', '. '],
  [' ! ', '! '],
  [' ? ', '? '],
  [' , ', ', '],
  [/\(\s*([^)]*?)\s*\)/g, '($1)'],
  [/\[\s*([^\]]*?)\s*\]/g, '[$1]'],
  [/\{\s*([^}]*?)\s*\}/g, '{$1}'],
  [/"\s*([^"]*?)\s*"/g, '"$1"'],
  [/'\s*([^']*?)\s*'/g, "'$1'"],
  ['= = = =', '===='],
  ['= = =', '==='],
  ['= =', '=='],
  [' ° ', '°'],
  [' \n', '\n'],
  ['\n ', '\n'],
  [' N ', ' 1 '],
  [" 's", "'s"],
]

function detokenized(page: string): string {
  return RULES.reduce((text, [found, replaced]) => text.replaceAll(found, replaced), page)
}
