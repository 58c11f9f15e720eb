/** Tests with a real pretrained model beside transformers: `vitest run --config test/real/vitest.config.mjs`. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/real/*.test.ts'], setupFiles: ['test/setup.ts'], testTimeout: 900_000, hookTimeout: 900_000 },
});
