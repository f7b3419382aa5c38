// A chart as a file: its data as CSV, its drawing as PNG or SVG.

import type { Line } from './series.js'

export function save(name: string, type: string, content: BlobPart): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([content], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

export function csvOf(xLabel: string, lines: readonly Line[]): string {
  const quoted = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  const rows = lines.flatMap(({ label, xs, ys }) =>
    Array.from(xs, (x, i) => `${quoted(label)},${x},${Number.isFinite(ys[i]) ? ys[i] : ''}`),
  )
  return [`series,${quoted(xLabel)},value`, ...rows].join('\n')
}

export interface Drawing {
  readonly title: string
  readonly xLabel: string
  readonly lines: readonly Line[]
  readonly colors: readonly string[]
  readonly x: readonly [number, number]
  readonly y: readonly [number, number]
  readonly logX: boolean
  readonly logY: boolean
  readonly ink: string
  readonly page: string
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [900, 480, 70, 44, 36]

/** The visible part of the lines, with axes and a legend. */
export function svgOf(drawing: Drawing): string {
  const { title, xLabel, lines, colors, x, y, logX, logY, ink, page } = drawing
  const place = (
    value: number,
    [low, high]: readonly [number, number],
    isLog: boolean,
    from: number,
    to: number,
  ) => {
    const [v, a, b] = isLog ? [value, low, high].map(Math.log10) : [value, low, high]
    return from + ((v - a) / (b - a || 1)) * (to - from)
  }
  const px = (value: number) => place(value, x, logX, LEFT, WIDTH - 16)
  const py = (value: number) => place(value, y, logY, HEIGHT - BOTTOM, TOP)
  const text = (value: string) => value.replace(/[<>&"]/g, c => `&#${c.charCodeAt(0)};`)
  const paths = lines.map((line, i) => {
    let path = ''
    for (let k = 0; k < line.xs.length; k++) {
      const [vx, vy] = [line.xs[k], line.ys[k]]
      if (vx < x[0] || vx > x[1] || !Number.isFinite(vy) || (logY && vy <= 0) || (logX && vx <= 0)) continue
      path += `${path === '' ? 'M' : 'L'}${px(vx).toFixed(1)} ${py(vy).toFixed(1)}`
    }
    const dash = line.measured ? ' stroke-dasharray="6 3"' : ''
    return `<path d="${path}" fill="none" stroke="${colors[i]}" stroke-width="1.5"${dash}/>`
  })
  const ticks = (low: number, high: number) => [0, 0.25, 0.5, 0.75, 1].map(part => low + part * (high - low))
  const number = (value: number) => Number(value.toPrecision(4)).toLocaleString('en-US')
  const axes = [
    ...ticks(...x).map(v => `<text x="${px(v)}" y="${HEIGHT - 24}" text-anchor="middle">${number(v)}</text>`),
    ...ticks(...y).map(v => `<text x="${LEFT - 8}" y="${py(v) + 4}" text-anchor="end">${number(v)}</text>`),
    `<path d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 16}" fill="none" stroke="${ink}"/>`,
    `<text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">${text(xLabel)}</text>`,
    `<text x="${LEFT}" y="22" font-weight="600">${text(title)}</text>`,
  ]
  const legend = lines.map(
    ({ label }, i) =>
      `<text x="${LEFT}" y="${HEIGHT + 16 + 16 * i}" fill="${colors[i]}">${text(label)}</text>`,
  )
  const height = HEIGHT + 16 * lines.length + 12
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui,sans-serif" ` +
    `font-size="12" fill="${ink}"><rect width="${WIDTH}" height="${height}" fill="${page}"/>` +
    `${axes.join('')}${paths.join('')}${legend.join('')}</svg>`
  )
}

/** The drawing as PNG, twice as fine. */
export async function pngOf(svg: string): Promise<Blob> {
  const image = new Image()
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []
  image.width = 2 * Number(width)
  image.height = 2 * Number(height)
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`
  await image.decode()
  const canvas = document.createElement('canvas')
  canvas.width = image.width
  canvas.height = image.height
  canvas.getContext('2d')?.drawImage(image, 0, 0, image.width, image.height)
  return new Promise((resolve, reject) =>
    canvas.toBlob(blob => (blob === null ? reject(new Error('no PNG')) : resolve(blob))),
  )
}
