// Prompts with one-word answers, for `flicker diversity`: the beginning of each text up to the last word of a sentence, and that
// word. JSON lines on stdout.
//
//   node bench/cloze-prompts.mjs stories.txt --count 200 > questions.jsonl
//
// Texts are separated by <|endoftext|>, else by empty lines, else each is a line. --words: of the prompt, at least and at most.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'

const {
  positionals: [file],
  values: flags,
} = parseArgs({
  allowPositionals: true,
  options: { count: { type: 'string', default: '200' }, words: { type: 'string', default: '25-90' } },
})
const bytes = readFileSync(file)
const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
const [least, most] = flags.words.split('-').map(Number)
const separators = [/<\|endoftext\|>/, /\n\s*\n/, /\n/]
const texts = text.trim().split(separators.find(separator => separator.test(text.trim())) ?? '\n')
const prompts = texts.flatMap(story => {
  const line = story.replace(/\s+/g, ' ').trim()
  // The first sentence end that leaves a prompt of the wanted length.
  for (const match of line.matchAll(/ ([a-z]{3,})\./g)) {
    const prompt = line.slice(0, match.index)
    const words = prompt.split(' ').length
    if (words >= least && words <= most) return [{ prompt, answers: [match[1]] }]
  }
  return []
})
for (const prompt of prompts.slice(0, Number(flags.count))) console.log(JSON.stringify(prompt))
