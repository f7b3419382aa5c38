// The two kinds of values that an activation depends on besides its input: those that training changes, and settings.

/** A parameter that training changes; each layer has its own. */
export interface LearnedParameter {
  /** As in the model's tensor names: `model.layers.0.mlp.act.<name>`. */
  readonly name: string
  readonly about: string
  /** One for the layer, or one for each of its neurons. */
  readonly per: 'layer' | 'neuron'
  /** Values at the start: one number, or several where the parameter is a small vector (per neuron: each neuron's). */
  readonly start: readonly number[]
  /** Instead of `start` in pictures, where the picture would be that of another activation. */
  readonly pictured?: readonly number[]
}

/** A number that the user gives and a schedule may change while training goes on: see `Activation.with`. */
export type Settings = Readonly<Record<string, number | string>>
