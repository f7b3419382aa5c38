import { render } from 'preact'
import 'uplot/dist/uPlot.min.css'
import { App } from './app.js'
import './board.css'
import { addColors } from './colors.js'

addColors()
const place = document.getElementById('board')
if (place !== null) render(<App />, place)
