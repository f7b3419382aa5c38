// Data for the lab: what other rooms may use.

export { type LabData, type LabDataOptions, type LabSplit, labDataSchema, loadLabData } from './lab-data.js'
