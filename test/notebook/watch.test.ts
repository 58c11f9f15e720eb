import { describe, expect, test, vi } from 'vitest';
import { lineChart } from '../../src/notebook/charts';
import { progress } from '../../src/notebook/progress';
import { follow, watch } from '../../src/notebook/watch';
import { sent } from './channel';

describe('progress', () => {
  test('draws at most ten times a second, lets other callbacks run, and ends with the last step', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    let turns = 0;
    const count = () => (turns++, setImmediate(count).unref());
    setImmediate(count);
    const line = progress({ total: 1000 });
    for (let step = 1; step <= 1000; step++) {
      vi.advanceTimersByTime(1);
      await line.update(step, { 'Φ<b>': step / 2 });
    }
    line.finish();
    vi.useRealTimers();
    expect(sent.length).toBeLessThanOrEqual(12);
    expect(turns).toBeGreaterThan(900);
    expect(sent.at(-1)?.data['text/plain']).toBe('step 1000/1000  100 %  1000/s  took 1 s  Φ<b> 500');
    expect(sent.at(-1)?.data['text/html']).toContain('Φ&lt;b&gt; 500');
  });

  test('counts from where an earlier cell stopped', async () => {
    const line = progress({ total: 4, start: 2 });
    await line.update(3);
    line.finish('stopped');
    expect(sent.at(-1)?.data['text/plain']).toMatch(/^step 3\/4 {2}75 % .* stopped$/);
  });
});

describe('watch', () => {
  async function* steps(from: number, to: number) {
    for (let i = from; i < to; i++) yield await Promise.resolve(i);
  }

  test('passes every step through, fills the history and goes on with it', async () => {
    const history: number[] = [];
    const seen: number[] = [];
    for await (const step of watch(steps(0, 3), { total: 5, history })) seen.push(step);
    await follow(() => steps(3, 5), { total: 5, history });
    expect([seen, history]).toEqual([
      [0, 1, 2],
      [0, 1, 2, 3, 4],
    ]);
    expect(sent.at(-1)?.data['text/plain']).toContain('step 5/5  100 %');
  });

  test('counts the time of all parts, and says why a loop ended before its last step', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const history: { ended?: string }[] = [];
    async function* slow(...steps: { ended?: string }[]) {
      for (const step of steps) {
        vi.advanceTimersByTime(2000);
        yield await Promise.resolve(step);
      }
    }
    await follow(slow({}, {}), { total: 4, history });
    expect(sent.at(-1)?.data['text/plain']).toContain('ended early');
    await follow(slow({}, { ended: 'it was done' }), { total: 5, history });
    expect(sent.at(-1)?.data['text/plain']).toBe('step 4/5  80 %  2.00 s each  it was done');
    await follow(slow({}), { total: 5, history });
    expect(sent.at(-1)?.data['text/plain']).toContain('took 10 s');
    vi.useRealTimers();
  });

  test('draws the figure of the history, whole at the end', async () => {
    const lengths: number[] = [];
    const picture = (history: readonly number[]) => {
      lengths.push(history.length);
      return lineChart({ title: 'h', xTitle: 'x', yTitle: 'y', series: [{ name: 'a', x: history, y: history }] });
    };
    await follow(steps(0, 4), { total: 4, figure: picture });
    expect(lengths[0]).toBe(1);
    expect(lengths.at(-1)).toBe(4);
    expect(sent.filter(({ data }) => 'application/vnd.plotly.v1+json' in data)).toHaveLength(1);
  });

  test('shows a table of the running step as one output, and the time left that the loop tells', async () => {
    async function* told() {
      for (const left of [9, 2, 1]) yield await Promise.resolve({ left, texts: [{ response: `<b>${left}`, τ: left / 8 }] });
    }
    await follow(told(), { total: 10, table: ({ texts }) => texts });
    const tables = sent.filter(({ data }) => data['text/html'].includes('<table'));
    expect(new Set(tables.map(({ transient }) => transient.display_id)).size).toBe(1);
    expect(tables.at(-1)?.data['text/plain']).toBe('response      τ\n<b>1      0.125');
    expect(tables.at(-1)?.data['text/html']).toContain('&lt;b&gt;1');
  });

  test('tells the time of the steps that are left, which may be fewer than to the end', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const line = progress({ total: 100 });
    vi.advanceTimersByTime(3000);
    await line.update(1, {}, 5);
    expect(sent.at(-1)?.data['text/plain']).toBe('step 1/100  1 %  3.00 s each  15 s left');
    vi.useRealTimers();
  });

  test('hands on errors of the loop, and closes it when the reader leaves', async () => {
    let closed = false;
    async function* failing() {
      try {
        yield* steps(0, 2);
        throw new Error('diverged');
      } finally {
        closed = true;
      }
    }
    const history: number[] = [];
    await expect(follow(failing(), { total: 9, history })).rejects.toThrow('diverged');
    expect([closed, history]).toEqual([true, [0, 1]]);
    closed = false;
    for await (const step of watch(failing(), { total: 9 })) if (step === 1) break;
    expect(closed).toBe(true);
  });
});
