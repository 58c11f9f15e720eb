/** Tests with a real Jupyter Notebook and a real browser: `vitest run --config test/jupyter/vitest.config.mjs`. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/jupyter/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000, fileParallelism: false },
});
