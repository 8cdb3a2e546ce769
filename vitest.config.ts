import { defineConfig } from 'vitest/config'

// Unit and golden tests run side by side; everything that starts an engine or takes huge pages runs one file at a time,
// because the machine's memory is the thing under test.
export default defineConfig({
  test: {
    disableConsoleIntercept: true,
    // What is asked for again and again (expect.poll) may come late on a busy machine; the default is one second.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/golden/**/*.test.ts'], testTimeout: 20_000 },
      },
      {
        extends: true,
        test: {
          name: 'cli',
          include: ['test/cli/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'engine',
          include: ['test/engine/**/*.test.ts'],
          globalSetup: ['test/support/huge-pages-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
