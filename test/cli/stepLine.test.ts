import { describe, expect, test } from 'vitest';
import { stepLine } from '../../src/cli/stepLine';
import type { MetricsRow } from '../../src/dpg/train';

const row = (step: number, seconds = 2) =>
  ({
    step,
    phi: -0.25,
    pixel_accuracy: 0.5,
    norm_change: -0.125,
    reward: 1,
    kl: 0,
    entropy: 1.5,
    seconds,
  }) as unknown as MetricsRow;

function shown(sink: { isTTY?: boolean; columns?: number }, env: NodeJS.ProcessEnv) {
  const written: string[] = [];
  const line = stepLine({ total: 4, out: { ...sink, write: (text: string) => written.push(text) }, env });
  return { line, written };
}

const PLAIN = 'step 1/4  Φ -0.2500  pixels 50.0 %  ‖W‖ − ‖W₀‖ −0.125  entropy 1.50  2.00 s\n';

describe('the steps of a training', () => {
  test.each([
    ['no terminal', {}, {}],
    ['NO_COLOR', { isTTY: true }, { NO_COLOR: '1' }],
    ['a dumb terminal', { isTTY: true }, { TERM: 'dumb' }],
  ])('are plain lines: %s', (_, sink, env) => {
    const { line, written } = shown(sink, env);
    line.show(row(1));
    line.say('a warning');
    line.end();
    expect(written).toEqual([PLAIN, 'a warning\n']);
  });

  test('are one line in a terminal, with the time that is left, and what is said stands above it', () => {
    const { line, written } = shown({ isTTY: true, columns: 120 }, { TERM: 'xterm' });
    line.show(row(1, 2));
    line.show(row(2, 4));
    line.say('a warning');
    line.show(row(3), 2);
    line.show(row(4));
    line.end();
    const [first, second, ...rest] = written;
    expect(first).toBe('\r\u001b[K▕█████               ▏ 1/4  6 s left  Φ -0.2500  pixels 50.0 %  ‖W‖ − ‖W₀‖ −0.125');
    expect(second).toContain('▕██████████          ▏ 2/4  6 s left'); // 2 steps of 3 s
    expect(rest.slice(0, 2)).toEqual(['\r\u001b[Ka warning\n', second]);
    expect(rest[2]).toContain('3/4  6 s left'); // 2 steps may be left after 3 of 4: all that counts is what is told
    expect(rest[3]).toContain('4/4  done');
    expect(rest[4]).toBe('\n');
    expect(written.join('').match(/\n/g)).toHaveLength(2);
  });

  test('never wrap', () => {
    const { line, written } = shown({ isTTY: true, columns: 30 }, { TERM: 'xterm' });
    line.show(row(1));
    expect([...written[0].replace('\r\u001b[K', '')]).toHaveLength(29);
  });
});
