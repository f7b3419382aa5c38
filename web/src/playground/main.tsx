import { render } from 'preact'
import { addColors } from '../colors.js'
import { Playground } from './playground.js'
import './playground.css'

addColors()
const place = document.getElementById('playground')
if (place !== null) render(<Playground />, place)
