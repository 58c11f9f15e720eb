/**
 * Tests with a real Slurm of two machines, which start.sh starts on this one: `npm run build && npm run test:slurm`. Needs Linux, root and,
 * of Debian, `apt-get install --no-install-recommends munge slurmctld slurmd slurm-client`.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/slurm/*.test.ts'], setupFiles: ['test/setup.ts'], testTimeout: 900_000, hookTimeout: 120_000 },
});
