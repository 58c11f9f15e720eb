/** Tests beside PyTorch (Debian: python3-torch): `vitest run --config test/torch/vitest.config.mjs`. */
import { defineConfig } from 'vitest/config';

export default defineConfig({ test: { include: ['test/torch/*.test.ts'], setupFiles: ['test/setup.ts'], testTimeout: 600_000 } });
