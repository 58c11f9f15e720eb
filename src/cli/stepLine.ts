/** The steps of a training in a terminal: one line with a bar that is drawn anew, or a plain line a step where nobody watches. */
import { formatMeasure, measureName, measuresOf } from '../notebook/measures';
import { duration } from '../notebook/progress';
import type { MetricsRow } from '../dpg/train';
import type { Sink } from './notebook/terminal';

/** Where steps are shown. */
export interface StepLine {
  /** @param left - steps to come, where they may be fewer than all */
  readonly show: (row: MetricsRow, left?: number) => void;
  /** A line of its own, above the bar. */
  readonly say: (text: string) => void;
  /** Leaves the last step standing. */
  readonly end: () => void;
}

/** Whether a line may be drawn anew: into a terminal that understands it, unless colours and the like are unwanted (no-color.org). */
export const isLive = ({ isTTY }: Sink, { NO_COLOR, TERM }: NodeJS.ProcessEnv): boolean =>
  isTTY === true && !NO_COLOR && TERM !== 'dumb';

const BAR = 20;
/** Measures beside Φ that a line has room for. */
const MEASURES = 3;
/** Steps whose mean time says how long those to come take. */
const RECENT = 20;

/** The bar is full cells and eighths of one. */
function bar(share: number): string {
  const eighths = Math.round(8 * BAR * Math.min(1, share));
  const partial = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
  return `▕${('█'.repeat(Math.floor(eighths / 8)) + partial).padEnd(BAR)}▏`;
}

function measured(row: MetricsRow): string {
  const shown = measuresOf(row).slice(0, MEASURES);
  return shown.map((key) => `  ${measureName(key)} ${formatMeasure(key, row[key])}`).join('');
}

const plainLine = (row: MetricsRow, total: number): string =>
  `step ${row.step}/${total}  Φ ${row.phi.toFixed(4)}${measured(row)}  entropy ${row.entropy.toFixed(2)}  ${row.seconds.toFixed(2)} s`;

/**
 * Shows steps as they are done.
 * @param options.total - steps at most
 */
export function stepLine({ total, out, env = process.env }: { total: number; out: Sink; env?: NodeJS.ProcessEnv }): StepLine {
  const live = isLive(out, env);
  const seconds: number[] = [];
  let drawn = '';
  const draw = (text: string): void => {
    drawn = [...text].slice(0, (out.columns ?? 80) - 1).join('');
    out.write(`\r\u001b[K${drawn}`);
  };
  const liveLine = (row: MetricsRow, left = total - row.step): string => {
    seconds.push(row.seconds);
    const recent = seconds.slice(-RECENT);
    const mean = recent.reduce((sum, each) => sum + each, 0) / recent.length;
    const time = left > 0 ? `${duration(left * mean)} left` : 'done';
    return `${bar(row.step / total)} ${row.step}/${total}  ${time}  Φ ${row.phi.toFixed(4)}${measured(row)}`;
  };
  return {
    show: (row, left) => (live ? draw(liveLine(row, left)) : void out.write(`${plainLine(row, total)}\n`)),
    say: (text) => {
      out.write(drawn ? `\r\u001b[K${text}\n` : `${text}\n`);
      if (drawn) draw(drawn);
    },
    end: () => {
      if (drawn) out.write('\n');
      drawn = '';
    },
  };
}
