// In place of src/engine/grammar/grammar-thread.ts: grammars need XGrammar, which is not part of the bundle.

import { OptionError } from '../../errors.js'

export class ThreadLost extends Error {}

export class GrammarThread {
  ask(): Promise<never> {
    throw new OptionError(
      'GRAMMAR_UNAVAILABLE',
      'grammar is not available in a browser; leave it out, or use flicker serve',
    )
  }
  tell(): void {}
  end(): void {}
}
