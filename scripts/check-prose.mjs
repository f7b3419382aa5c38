// Checks names, comments, messages and documents for British spellings and for words that a newcomer would have to
// guess: each has a term of the field. Prints file, line and the term to use; exits 1 when there is something to print.
//
//   node scripts/check-prose.mjs

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** What must not be written, and what to write. */
const terms = [
  [/\b(the|one|this|own|a) doors?\b|'s door\b|\bdoors?:/i, 'entry point, boundary, binding'],
  [/\brooms\b/i, 'modules'],
  [/\bby turns\b/i, 'interleaved, alternating'],
  [/\b(goes?|going|went) on (where|from where)\b/i, 'resumes'],
  [/\bwith nothing asked for\b/i, 'without prefetching'],
  [/\bwhole numbers?\b/i, 'integers'],
  [/\blikeliest\b/i, 'most likely'],
  [/\bkin\b/i, 'siblings, sequences with a shared prefix'],
  [/\bdoubts?\b/i, 'uncertainty'],
  [/\bdress(es|ed)? as\b/i, 'wraps as'],
  [/\bby a hair\b/i, 'by 1 %'],
  [/\btexts? to go on from\b/i, 'prompt'],
  [/\banew\b/i, 'again; requantized'],
  [
    /\bshares? of (the (neurons|zeros|limit|memory|row|steps|samples|bytes)|(exact )?zeros)\b/i,
    'fraction, percentage',
  ],
  [/\bshareOf[A-Z]\w*/, 'fractionOf…'],
  [/\blearned numbers\b/i, 'learned parameters, values'],
  [/\bnumbers of (a|the) tensor\b/i, 'values, elements'],
  [/\btexts of (a|the) batch\b/i, 'sequences'],
  [/\bturned back\b/i, 'rotated back, transposed back'],
  [
    /\b(quanti|optimi|standardi|normali|initiali|tokeni|vectori|minimi|maximi|rasteri|summari|seriali|recogni|generali)s(e|ed|es|er|ers|ing|ation)\b/i,
    'American spelling: -ize',
  ],
  [
    /(neighbour|colour|favour|behaviour|honour)|\b(centre|centred|grey|licence|catalogue|labelled|modelled|cancelled|analyse)\b/i,
    'American spelling',
  ],
]

const files = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .stdout.split('\n')
  .filter(name => /\.(ts|tsx|mjs|js|cc|h|md|ya?ml|sh|py|json)$/.test(name))
  .filter(
    name => !name.includes('fixtures/') && name !== 'package-lock.json' && name !== 'scripts/check-prose.mjs',
  )

let found = 0
for (const file of files) {
  for (const [index, line] of readFileSync(join(root, file), 'utf8').split('\n').entries()) {
    for (const [pattern, instead] of terms) {
      const match = pattern.exec(line)
      if (match === null) continue
      found++
      console.log(`${file}:${index + 1}: "${match[0]}" (write: ${instead})`)
    }
  }
}
if (found > 0) process.exitCode = 1
console.log(found === 0 ? `check-prose: ${files.length} files, nothing found` : `check-prose: ${found} found`)
