import { render } from 'preact'
import 'uplot/dist/uPlot.min.css'
import { paletteCss } from '../../src/report/palette.js'
import { App } from './app.js'
import './board.css'

// The colors of the reports.
const style = document.createElement('style')
style.textContent = `:root{${paletteCss('light')}}@media (prefers-color-scheme:dark){:root{${paletteCss('dark')}}}`
document.head.append(style)
const place = document.getElementById('board')
if (place !== null) render(<App />, place)
