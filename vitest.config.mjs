import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/jupyter/**',
      'test/torch/**',
      'test/webgpu/**',
      'test/package/**',
      'test/slurm/**',
      'test/python/**',
      'test/real/**',
    ],
    setupFiles: ['test/setup.ts'],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});
