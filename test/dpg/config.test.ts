import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfig, sharedKeys, type ConfigInput } from '../../src/dpg/config';
import { flag, jsonSchema, number, oneOf, text, valueOfText, whole, type Key } from '../../src/dpg/keys';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { OPTIMIZERS } from '../../src/learn/optimizers';
import { promptedKeys } from '../../src/experiments/weightSpace';

const shared = (input: unknown, defaults: ConfigInput = {}) => parseConfig({ keys: sharedKeys, defaults }, input);

/** Values just outside a range as a key tells it. */
function outside(range: string): unknown[] {
  if (range.startsWith('text')) {
    const form = new RegExp(range.replace('text of the form ', ''));
    const refused = ['two,,commas', ''].filter((each) => !form.test(each));
    expect(refused).not.toEqual([]);
    return [...refused, 1, null];
  }
  if (range.includes('|')) return ['neither', 1];
  const [low, high] = range.split(', ').map((bound) => /(≥|>|≤|<) (.+)$/.exec(bound)!.slice(1, 3));
  const below = low[0] === '>' ? Number(low[1]) : Number(low[1]) - 1;
  const above = high[0] === '<' ? Number(high[1]) : Number(high[1]) * 2;
  return [below, above, NaN, Infinity, '1', null, ...(range.startsWith('whole') ? [Number(low[1]) + 0.5] : [])];
}

const everyKey = Object.values(EXPERIMENTS).flatMap((definition) =>
  Object.entries(definition.keys).map(([key, { range }]) => [definition.name, key, range] as const),
);

describe('a configuration', () => {
  it('has defaults that pass, overridden by the experiment’s, overridden by the user’s', () => {
    expect(shared({})).toMatchObject({ seed: 0, reward: 'metagradient', credit: 'example', crossGroupBatching: true });
    expect(shared({ steps: 7 }, { steps: 5, prompts: 2 })).toMatchObject({ steps: 7, prompts: 2, groupSize: 8 });
    expect(Object.keys(shared({}))).toEqual(Object.keys(sharedKeys));
  });

  it('keeps a file by its absolute name, so that a run goes on from another folder', () => {
    const files = ['', 'mine.txt', path.resolve('mine.txt')].map((promptsFile) =>
      parseConfig({ keys: promptedKeys, defaults: {} }, { promptsFile }),
    );
    expect(files.map(({ promptsFile }) => promptsFile)).toEqual(['', path.resolve('mine.txt'), path.resolve('mine.txt')]);
  });

  it('takes undefined for a key left out', () => {
    expect(shared({ steps: undefined }, { steps: 5 }).steps).toBe(5);
  });

  it('has an end like its beginning where nobody gives another', () => {
    expect(shared({ learningRate: 0.5 })).toMatchObject({ learningRate: 0.5, learningRateEnd: 0.5 });
    expect(shared({ learningRate: 0.5 }, { learningRateEnd: 0.1 }).learningRateEnd).toBe(0.1);
    expect(shared({ learningRateEnd: 0.3 }, { learningRate: 0.1 })).toMatchObject({ learningRate: 0.1, learningRateEnd: 0.3 });
  });

  it('refuses token credit where the reward has one number per data set; credit that is a default gives way', () => {
    const { rephrase } = EXPERIMENTS;
    for (const reward of ['naive', 'levenshtein', 'embedding', 'languageId']) {
      expect(() => parseConfig(rephrase, { reward, credit: 'token' })).toThrow(/credit 'token' needs reward 'metagradient'/);
      expect(parseConfig({ ...rephrase, defaults: { credit: 'both' } }, { reward }).credit).toBe('example');
    }
  });

  it.each(everyKey)('of %s: %s outside %s is named with its range', (name, key, range) => {
    for (const value of outside(range)) {
      const said = typeof value === 'number' ? String(value) : JSON.stringify(value);
      expect(() => parseConfig(EXPERIMENTS[name], { [key]: value })).toThrow(`config: ${key} must be ${range} (got ${said})`);
    }
  });

  it.each(Object.values(EXPERIMENTS))('$name has defaults within its own keys and ranges', (definition) => {
    for (const key of Object.values(definition.keys)) if (!key.sameAs) expect(key.accepts(key.default)).toBe(true);
    expect(parseConfig(definition, definition.defaults)).toEqual(parseConfig(definition));
  });

  it('refuses the keys of another experiment and names its own', () => {
    const refused = () => parseConfig(EXPERIMENTS['l2-norm'], { uuid: '1', payload: 'X', warmUpSteps: 1, typo: 2 });
    expect(refused).toThrow(/^config: unknown key "uuid", "payload", "warmUpSteps", "typo"; l2-norm has seed, .*learningRate/);
    expect(refused).not.toThrow(/l2-norm has .*strength/);
  });

  it('tells all mistakes at once, a line each', () => {
    let said = '';
    try {
      shared({ steps: 0, clip: -1, tpyo: 1 });
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said.split('\n')).toHaveLength(3);
    expect(said).toMatch(/steps must be[^\n]*got 0[^]*clip must be[^\n]*got -1[^]*unknown key "tpyo"/);
  });

  it.each([[[]], ['steps'], [null], [3]])('refuses %o', (input) => {
    expect(() => shared(input)).toThrow('a configuration is an object of keys');
  });

  it.each<[ConfigInput, string]>([
    [{ prompts: 8, groupSize: 2, innerSteps: 3 }, 'innerSteps must divide the 16 examples of a data set (got 3)'],
    [{ prompts: 6, innerSteps: 4, groupSize: 2, crossGroupBatching: false }, 'innerSteps must divide the 6 examples'],
    [{ prompts: 6, innerSteps: 4, groupSize: 2, reward: 'naive' }, 'innerSteps must divide the 6 examples'],
    [{ innerSteps: 4, heldOutExamples: 254 }, 'innerSteps must divide the 254 heldOutExamples (got 4)'],
  ])('refuses batches that do not come out even: %o', (input, message) => {
    expect(() => shared(input)).toThrow(message);
  });

  it('accepts batches that do', () => {
    expect(parseConfig(EXPERIMENTS.rephrase, { prompts: 6, groupSize: 2, innerSteps: 4, reward: 'embedding' })).toBeTruthy();
    expect(shared({ prompts: 6, groupSize: 2, innerSteps: 4 }).innerSteps).toBe(4);
    expect(shared({ prompts: 6, groupSize: 2, innerSteps: 2, crossGroupBatching: false }).innerSteps).toBe(2);
  });
});

describe('a key', () => {
  const description = 'Something';
  it.each<[string, Key, string]>([
    ['a whole number', whole({ min: 1, max: 9, default: 2, description }), 'whole number ≥ 1, ≤ 9'],
    ['a number between', number({ above: 0, below: 1, default: 0.5, description }), '> 0, < 1'],
    ['a number from … to', number({ min: 0, max: 1, default: 0.5, description }), '≥ 0, ≤ 1'],
    ['a choice', oneOf(['a', 'b'], { default: 'a', description }), 'a | b'],
    ['a text', text(/^\d+$/, { default: '1', description }), 'text of the form ^\\d+$'],
    ['a flag', flag({ default: false, description }), 'true | false'],
  ])('says its range: %s', (_, { range }, expected) => {
    expect(range).toBe(expected);
  });

  it('reads a text by its type: digits stay text where the key is one', () => {
    const { payload } = EXPERIMENTS['qr-code'].keys;
    expect(valueOfText(payload, '2604.08423')).toBe('2604.08423');
    expect(valueOfText(sharedKeys.steps, '1e2')).toBe(100);
    expect(valueOfText(sharedKeys.steps, 'many')).toBe('many');
    expect(valueOfText(sharedKeys.steps, ' ')).toBe(' ');
    expect(valueOfText(sharedKeys.crossGroupBatching, 'false')).toBe(false);
    expect(valueOfText(sharedKeys.crossGroupBatching, '0')).toBe('0');
    expect(valueOfText(sharedKeys.engine, 'tape')).toBe('tape');
  });

  it('is in the JSON schema with its range, default and description; no other is', () => {
    const { keys, defaults } = EXPERIMENTS['sixty-seven'];
    const schema = jsonSchema(keys, 'sixty-seven', defaults) as { properties: Record<string, object> };
    expect(schema).toMatchObject({ type: 'object', additionalProperties: false });
    expect(Object.keys(schema.properties)).toEqual(Object.keys(keys));
    expect(schema.properties.steps).toMatchObject({ type: 'integer', minimum: 1, maximum: 1_000_000, default: 40 });
    expect(schema.properties.engine).toMatchObject({ enum: ['auto', 'fused', 'tape'] });
  });
});

it('names every optimizer that there is', () => {
  expect(sharedKeys.innerOptimizer.range.split(' | ').sort()).toEqual(Object.keys(OPTIMIZERS).sort());
});
