import { describe, expect, expectTypeOf, it } from 'vitest';
import type * as published from '../../dist/dpg/config';
import { configKeys, configSchema, parseConfig, type Config, type ConfigInput } from '../../src/dpg/config';

/** Values just outside a range as `configKeys` tells it. */
function outside(range: string): unknown[] {
  if (range.startsWith('text')) return ['lower case', '', 1, null];
  if (range.includes('|')) return ['neither', 1];
  const [low, high] = range.split(', ').map((bound) => /(≥|>|≤|<) (.+)$/.exec(bound)!.slice(1, 3));
  const below = low[0] === '>' ? Number(low[1]) : Number(low[1]) - 1;
  const above = high[0] === '<' ? Number(high[1]) : Number(high[1]) * 2;
  return [below, above, NaN, Infinity, '1', null, ...(range.startsWith('whole') ? [Number(low[1]) + 0.5] : [])];
}

describe('a configuration', () => {
  it('has defaults that pass, overridden by the experiment’s, overridden by the user’s', () => {
    expect(parseConfig({})).toMatchObject({ seed: 0, reward: 'metagradient', credit: 'example', crossGroupBatching: true });
    expect(parseConfig({ steps: 7 }, { steps: 5, prompts: 2 })).toMatchObject({ steps: 7, prompts: 2, rollouts: 8 });
  });

  it('takes undefined for a key left out', () => {
    expect(parseConfig({ steps: undefined }, { steps: 5 }).steps).toBe(5);
  });

  it('refuses token credit where the reward has one number per data set', () => {
    for (const reward of ['naive', 'levenshtein', 'embedding', 'languageId'] as const)
      expect(() => parseConfig({ reward, credit: 'token' })).toThrow(/credit 'token' needs reward 'metagradient'/);
  });

  it('has the same types in dist/, where they are written without zod', () => {
    expectTypeOf<published.Config>().toEqualTypeOf<Config>(); // the type check of npm test sees it
    expectTypeOf<published.ConfigInput>().toEqualTypeOf<ConfigInput>();
  });

  it('tells of every key what it means, its range and its default', () => {
    expect(configKeys().map(({ key }) => key)).toEqual(Object.keys(configSchema.shape));
    for (const { description, range } of configKeys()) {
      expect(description.length).toBeGreaterThan(5);
      expect(range).not.toMatch(/undefined|Infinity/);
    }
    expect(configKeys().find(({ key }) => key === 'rollouts')).toEqual({
      ...{ key: 'rollouts', range: 'whole number ≥ 2, ≤ 1024', default: 8 },
      ...{ description: 'Responses per prompt', paper: '4' },
    });
  });

  it.each(configKeys().map(({ key, range }) => [key, range]))('%s outside %s is named with its range', (key, range) => {
    for (const value of outside(range)) {
      const said = typeof value === 'number' ? String(value) : JSON.stringify(value);
      expect(() => parseConfig({ [key]: value })).toThrow(`config: ${key} must be ${range} (got ${said})`);
    }
  });

  it('refuses unknown keys and names the known ones', () => {
    expect(() => parseConfig({ learningrate: 1, typo: 2 })).toThrow(
      /^config: unknown key "learningrate", "typo"; known are seed, .*learningRate/,
    );
  });

  it('tells all mistakes at once, a line each', () => {
    let text = '';
    try {
      parseConfig({ steps: 0, clip: -1, tpyo: 1 });
    } catch (error) {
      text = (error as Error).message;
    }
    expect(text.split('\n')).toHaveLength(3);
    expect(text).toMatch(/steps must be[^\n]*got 0[^]*clip must be[^\n]*got -1[^]*unknown key "tpyo"/);
  });

  it.each([[[]], ['steps'], [null], [3], [undefined]])('refuses %o', (input) => {
    expect(() => parseConfig(input)).toThrow('a configuration is an object of keys');
  });

  it.each<[ConfigInput, string]>([
    [{ prompts: 8, rollouts: 2, innerSteps: 3 }, 'innerSteps must divide the 16 examples of a data set (got 3)'],
    [{ prompts: 6, innerSteps: 4, rollouts: 2, crossGroupBatching: false }, 'innerSteps must divide the 6 examples'],
    [{ prompts: 6, innerSteps: 4, rollouts: 2, reward: 'naive' }, 'innerSteps must divide the 6 examples'],
    [{ innerSteps: 4, heldOutExamples: 254 }, 'innerSteps must divide the 254 heldOutExamples (got 4)'],
  ])('refuses batches that do not come out even: %o', (input, message) => {
    expect(() => parseConfig(input)).toThrow(message);
  });

  it('accepts batches that do', () => {
    expect(parseConfig({ prompts: 6, rollouts: 2, innerSteps: 4, reward: 'embedding' }).innerSteps).toBe(4);
    expect(parseConfig({ prompts: 6, rollouts: 2, innerSteps: 4 }).innerSteps).toBe(4);
    expect(parseConfig({ prompts: 6, rollouts: 2, innerSteps: 2, crossGroupBatching: false }).innerSteps).toBe(2);
  });
});
