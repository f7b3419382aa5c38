// The neurons of one token: layers from below, neurons from left to right, each a point that lights up while it is active.
// Where there are more neurons than points, a point shows the fraction of its neurons that are.

import { useEffect, useRef } from 'preact/hooks'

const LAYER_HEIGHT = 12
const MOST_HEIGHT = 420
/** What is left of a point's light at the next token. */
const FADE = 0.55

interface Shown {
  readonly layers: number
  readonly neurons: number
  /** layers × neurons: 0 inactive, 1 positive, 2 negative; null before the first token. */
  readonly activity: Uint8Array | null
}

/** Red, green and blue of a custom property. */
function colorOf(element: Element, name: string): [number, number, number] {
  const hex = getComputedStyle(element).getPropertyValue(name).trim()
  return [1, 3, 5].map(at => Number.parseInt(hex.slice(at, at + 2), 16)) as [number, number, number]
}

/** Of each layer the fractions of neurons that are positive and negative. */
export function fractionsOf({ layers, neurons, activity }: Shown): { positive: number; negative: number }[] {
  return Array.from({ length: activity === null ? 0 : layers }, (_, layer) => {
    const counts = [0, 0, 0]
    for (const value of activity?.subarray(layer * neurons, (layer + 1) * neurons) ?? []) counts[value]++
    return { positive: counts[1] / neurons, negative: counts[2] / neurons }
  })
}

export function HeatMap(shown: Shown) {
  const { layers, neurons, activity } = shown
  const canvas = useRef<HTMLCanvasElement>(null)
  const light = useRef<Float32Array>(new Float32Array(0))
  const height = Math.min(MOST_HEIGHT, layers * LAYER_HEIGHT)
  useEffect(() => {
    const element = canvas.current
    const context = element?.getContext('2d')
    if (element === null || !context || activity === null) return
    // A point for each neuron, or as many as there are on the screen.
    const columns = Math.min(neurons, Math.max(1, Math.round(element.clientWidth * devicePixelRatio)))
    element.width = columns
    element.height = layers
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches
    if (light.current.length !== 2 * columns * layers) light.current = new Float32Array(2 * columns * layers)
    const next = light.current
    const image = context.createImageData(columns, layers)
    const ground = colorOf(element, '--panel')
    const colors = [colorOf(element, '--heat'), colorOf(element, '--run-2')]
    for (let layer = 0; layer < layers; layer++) {
      const row = layers - 1 - layer
      for (let column = 0; column < columns; column++) {
        const from = Math.floor((column * neurons) / columns)
        const to = Math.max(from + 1, Math.floor(((column + 1) * neurons) / columns))
        const counts = [0, 0, 0]
        for (let k = from; k < to; k++) counts[activity[layer * neurons + k]]++
        const at = 2 * (layer * columns + column)
        const pixel = 4 * (row * columns + column)
        const lights = [0, 1].map(sign => {
          // A few of many would be too faint to see.
          const now = Math.sqrt(counts[sign + 1] / (to - from))
          next[at + sign] = still ? now : Math.max(now, next[at + sign] * FADE)
          return next[at + sign]
        })
        for (let c = 0; c < 3; c++) {
          const total = Math.max(1, lights[0] + lights[1])
          const value =
            ground[c] +
            ((colors[0][c] - ground[c]) * lights[0]) / total +
            ((colors[1][c] - ground[c]) * lights[1]) / total
          image.data[pixel + c] = value
        }
        image.data[pixel + 3] = 255
      }
    }
    context.putImageData(image, 0, 0)
  }, [activity, layers, neurons])

  const fractions = fractionsOf(shown)
  const mean = (of: 'positive' | 'negative') =>
    fractions.reduce((total, fraction) => total + fraction[of], 0) / Math.max(1, fractions.length)
  const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`
  const told =
    activity === null
      ? 'No token yet.'
      : `${percent(mean('positive') + mean('negative'))} of the neurons are active, ${percent(mean('negative'))} below zero.`
  return (
    <section class="heat-map" aria-label="Active neurons">
      <h2>Neurons</h2>
      <canvas
        ref={canvas}
        role="img"
        aria-label={`Layers by neurons. ${told}`}
        style={{ height: `${height}px` }}
      />
      <p class="note">
        <span class="key above" /> active <span class="key below" /> active below zero: drawn by StochA, or
        the tail of a smooth activation. Layers from below. {told}
      </p>
      {fractions.length > 0 && (
        <details>
          <summary>Per layer</summary>
          <table>
            <thead>
              <tr>
                <th scope="col">layer</th>
                <th scope="col">active</th>
                <th scope="col">below zero</th>
              </tr>
            </thead>
            <tbody>
              {fractions.map(({ positive, negative }, layer) => (
                <tr key={layer}>
                  <th scope="row">{layer}</th>
                  <td>{percent(positive + negative)}</td>
                  <td>{percent(negative)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      )}
    </section>
  )
}
