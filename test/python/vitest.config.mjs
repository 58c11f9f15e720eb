/**
 * `dpg serve` with what people have in Python: `npm run build && npm run test:python`. Needs python3; for the examples,
 * `pip install trl ray` (with PyTorch), without which they are skipped.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/python/*.test.ts'], setupFiles: ['test/setup.ts'], testTimeout: 1_800_000, hookTimeout: 300_000 },
});
