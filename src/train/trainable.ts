// Which parameters a run trains; the others stay as they are in the checkpoint that it starts from.

/** Which parameters a run trains. */
export const trainableParts = ['all', 'ffn', 'gate'] as const
export type TrainablePart = (typeof trainableParts)[number]

/** Whether parameter `name` is trained. */
export function isTrained(part: TrainablePart, name: string): boolean {
  if (part === 'all') return true
  return part === 'ffn' ? name.includes('.mlp.') : /\.mlp\.(gate_proj|act)\./.test(name)
}
