// BLiMP (Warstadt et al. 2020): 67 phenomena of English grammar, each with 1,000 pairs of an acceptable sentence and one
// that is not. Both are scored as whole sentences.

import { z } from 'zod'
import { defineTask, type TaskGroup } from '../task.js'

const row = z
  .object({
    UID: z.string(),
    good: z.string().optional(),
    bad: z.string().optional(),
    sentence_good: z.string().optional(),
    sentence_bad: z.string().optional(),
  })
  .transform(({ UID, good, bad, sentence_good, sentence_bad }, context) => {
    const pair = { uid: UID, good: good ?? sentence_good, bad: bad ?? sentence_bad }
    if (pair.good !== undefined && pair.bad !== undefined) return { ...pair, good: pair.good, bad: pair.bad }
    context.addIssue(`${pair.good === undefined ? 'sentence_good' : 'sentence_bad'}: is missing (a text)`)
    return z.NEVER
  })

/** The phenomena, by the UIDs of the data set. */
const PHENOMENA = [
  'adjunct_island',
  'anaphor_gender_agreement',
  'anaphor_number_agreement',
  'animate_subject_passive',
  'animate_subject_trans',
  'causative',
  'complex_NP_island',
  'coordinate_structure_constraint_complex_left_branch',
  'coordinate_structure_constraint_object_extraction',
  'determiner_noun_agreement_1',
  'determiner_noun_agreement_2',
  'determiner_noun_agreement_irregular_1',
  'determiner_noun_agreement_irregular_2',
  'determiner_noun_agreement_with_adj_2',
  'determiner_noun_agreement_with_adj_irregular_1',
  'determiner_noun_agreement_with_adj_irregular_2',
  'determiner_noun_agreement_with_adjective_1',
  'distractor_agreement_relational_noun',
  'distractor_agreement_relative_clause',
  'drop_argument',
  'ellipsis_n_bar_1',
  'ellipsis_n_bar_2',
  'existential_there_object_raising',
  'existential_there_quantifiers_1',
  'existential_there_quantifiers_2',
  'existential_there_subject_raising',
  'expletive_it_object_raising',
  'inchoative',
  'intransitive',
  'irregular_past_participle_adjectives',
  'irregular_past_participle_verbs',
  'irregular_plural_subject_verb_agreement_1',
  'irregular_plural_subject_verb_agreement_2',
  'left_branch_island_echo_question',
  'left_branch_island_simple_question',
  'matrix_question_npi_licensor_present',
  'npi_present_1',
  'npi_present_2',
  'only_npi_licensor_present',
  'only_npi_scope',
  'passive_1',
  'passive_2',
  'principle_A_c_command',
  'principle_A_case_1',
  'principle_A_case_2',
  'principle_A_domain_1',
  'principle_A_domain_2',
  'principle_A_domain_3',
  'principle_A_reconstruction',
  'regular_plural_subject_verb_agreement_1',
  'regular_plural_subject_verb_agreement_2',
  'sentential_negation_npi_licensor_present',
  'sentential_negation_npi_scope',
  'sentential_subject_island',
  'superlative_quantifiers_1',
  'superlative_quantifiers_2',
  'tough_vs_raising_1',
  'tough_vs_raising_2',
  'transitive',
  'wh_island',
  'wh_questions_object_gap',
  'wh_questions_subject_gap',
  'wh_questions_subject_gap_long_distance',
  'wh_vs_that_no_gap',
  'wh_vs_that_no_gap_long_distance',
  'wh_vs_that_with_gap',
  'wh_vs_that_with_gap_long_distance',
]

const uidOf = ({ uid }: z.infer<typeof row>) => uid

export const blimp: TaskGroup = {
  name: 'blimp',
  version: 2,
  about: '67 phenomena of English grammar: is the acceptable sentence of a pair the more likely one',
  weightBySize: false,
  tasks: PHENOMENA.map(uid =>
    defineTask<z.infer<typeof row>>({
      name: `blimp_${uid}`,
      version: 1,
      about: uid.replaceAll('_', ' '),
      output: 'multiple_choice',
      metrics: ['acc'],
      files: ['blimp'],
      hub: { repo: 'nyu-mll/blimp', config: uid, split: 'train' },
      row,
      part: { of: uidOf, is: uid },
      shots: { count: 0, rule: 'random' },
      prompt: () => '',
      choices: ({ good, bad }) => [good, bad],
      gold: () => 0,
      answer: ({ good }) => good,
    }),
  ),
}
