import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/build.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Kernels use every core already; more than two test files at once only fight over them.
    maxWorkers: 2,
    // A test that asserts nothing, for instance because its loop had nothing to run over, fails.
    expect: { requireAssertions: true },
  },
})
