// The script of every page: values under the pointer, lines that can be hidden, downloads of a figure's values. Pages are
// complete without it: what it needs stands in them as titles of marks and as JSON.

/** Distance from which a mark is found by the pointer, px. */
const REACH = 28

export const PAGE_SCRIPT = `
(() => {
document.documentElement.classList.add('scripted')
const tip = document.createElement('div')
tip.className = 'tip'
tip.hidden = true
document.body.append(tip)

// A mark's title is shown by the page, at once and for touch too, in place of the browser's own after a delay.
for (const title of document.querySelectorAll('.drawing svg title')) {
  title.parentElement.dataset.tip = title.textContent
  title.remove()
}
function nearest(svg, x, y) {
  let found = null
  let least = ${REACH}
  for (const mark of svg.querySelectorAll('[data-tip]')) {
    const box = mark.getBoundingClientRect()
    if (box.width === 0) continue
    const dx = Math.max(box.left - x, 0, x - box.right)
    const dy = Math.max(box.top - y, 0, y - box.bottom)
    const distance = dx === 0 && dy === 0 ? Math.hypot(x - (box.left + box.right) / 2, y - (box.top + box.bottom) / 2) / 1e3 : Math.hypot(dx, dy)
    if (distance < least) [least, found] = [distance, mark]
  }
  return found
}
function show(event) {
  const svg = event.target.closest('.drawing svg')
  const mark = svg && nearest(svg, event.clientX, event.clientY)
  tip.hidden = !mark
  if (!mark) return
  tip.textContent = mark.dataset.tip
  const box = tip.getBoundingClientRect()
  const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - box.width - 6)
  const above = event.clientY - box.height - 14
  tip.style.left = Math.max(6, left) + 'px'
  tip.style.top = (above < 6 ? event.clientY + 18 : above) + 'px'
}
document.addEventListener('pointermove', show)
document.addEventListener('pointerdown', show)
document.addEventListener('scroll', () => { tip.hidden = true }, { passive: true })

function save(name, type, text) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}
const field = value => /[",\\n\\r]/.test(value) ? '"' + value.replaceAll('"', '""') + '"' : value
document.addEventListener('click', event => {
  const button = event.target.closest('button')
  if (!button) return
  if (button.dataset.series) {
    const shown = button.getAttribute('aria-pressed') !== 'true'
    button.setAttribute('aria-pressed', String(shown))
    for (const mark of button.closest('figure').querySelectorAll('.series-' + button.dataset.series)) {
      mark.style.display = shown ? '' : 'none'
    }
  } else if (button.dataset.csv) {
    const { columns, rows } = JSON.parse(document.getElementById(button.dataset.csv).textContent)
    const lines = [columns, ...rows].map(row => row.map(value => field(value === null ? '' : String(value))).join(','))
    save(button.dataset.name + '.csv', 'text/csv', lines.join('\\n') + '\\n')
  } else if (button.dataset.json) {
    save(button.dataset.name + '.json', 'application/json', document.getElementById(button.dataset.json).textContent)
  }
})
})()
`
