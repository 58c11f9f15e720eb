import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';

/** What takes minutes by itself; begun last, it would run alone at the end. */
const LONGEST = ['test/notebooks.test.ts'];

class LongestFirst extends BaseSequencer {
  async sort(files) {
    const isLongest = ({ moduleId }) => LONGEST.some((name) => moduleId.endsWith(name));
    return (await super.sort(files)).sort((a, b) => isLongest(b) - isLongest(a));
  }
}

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
    sequence: { sequencer: LongestFirst },
  },
});
