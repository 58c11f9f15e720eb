/**
 * Tests on a GPU: `vitest run --config test/webgpu/vitest.config.mjs`. Needs the packages that `npx dpg doctor` names; without a GPU,
 * VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json takes the software one of Debian's chromium.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/webgpu/*.test.ts'], setupFiles: ['test/setup.ts'], testTimeout: 300_000, hookTimeout: 300_000 },
});
