// Models and data sets on the Hugging Face Hub: `hf:owner/name` downloads into the Hub's own cache.

export { type CachedModel, cachedModels, removeCachedModel } from './cache.js'
export { type DatasetSplit, downloadDataset } from './dataset.js'
export { type DownloadOptions, type DownloadPlan, type DownloadProgress, downloadModel } from './download.js'
export { type HubReference, isHubReference, parseHubReference } from './reference.js'
export { type HubSettings, hubSettings } from './settings.js'
