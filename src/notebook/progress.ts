/** One line that says how far a loop is: step, share, speed, time left, and what the loop measures. */
import { setImmediate } from 'node:timers/promises';
import { NO_TEX, output } from './display';
import { escapeHtml, printable } from './escape';

/** Numbers of the last step by name, e.g. `{ Φ: 0.12, accuracy: 0.95 }`. */
export type Metrics = Readonly<Record<string, number>>;

/** A progress line. */
export interface Progress {
  /**
   * Shows `done` steps (drawn at most ten times a second) and lets the event loop turn, so that outputs leave and the kernel answers.
   * @param left - steps to come, where they may be fewer than those to `total`
   */
  update(done: number, metrics?: Metrics, left?: number): Promise<void>;
  /** Shows the last update for good; `remark` says how it ended. */
  readonly finish: (remark?: string) => void;
}

/** Milliseconds between two drawings: front ends and tslab's channel cope with ten a second. */
export const REFRESH = 100;

interface ProgressOptions {
  readonly total: number;
  /** Steps that were done before, and what they took. */
  readonly start?: number;
  readonly seconds?: number;
  readonly label?: string;
}

/** A new progress line of `total` steps. */
export function progress({ total, start = 0, seconds = 0, label = 'step' }: ProgressOptions): Progress {
  const { show } = output();
  const began = performance.now();
  let drawn = -Infinity;
  let state = { done: start, metrics: {} as Metrics, left: total - start };

  const draw = (remark = '') => {
    drawn = performance.now();
    const { done, metrics, left } = state;
    const text = describe({
      done,
      total,
      left,
      label,
      seconds: (drawn - began) / 1000,
      before: seconds,
      fresh: done - start,
      metrics,
      remark,
    });
    const bar = `<progress value="${done}" max="${total}" style="width:16em;vertical-align:middle"></progress>`;
    show({ 'text/html': `<div class="${NO_TEX}">${bar} <code>${escapeHtml(text)}</code></div>`, 'text/plain': text });
  };
  return {
    async update(done, metrics = {}, left = total - done) {
      state = { done, metrics, left };
      if (performance.now() - drawn >= REFRESH) draw();
      await setImmediate();
    },
    finish: draw,
  };
}

interface Description {
  readonly done: number;
  readonly total: number;
  /** Steps to come. */
  readonly left: number;
  readonly label: string;
  readonly seconds: number;
  /** Seconds of earlier parts of the loop. */
  readonly before: number;
  /** Steps that took these seconds. */
  readonly fresh: number;
  readonly metrics: Metrics;
  readonly remark: string;
}

function describe({ done, total, left, label, seconds, before, fresh, metrics, remark }: Description): string {
  const speed = fresh / seconds;
  const parts = [`${label} ${done}/${total}`, `${Math.floor((100 * done) / total)} %`];
  if (fresh > 0) parts.push(speed >= 1 ? `${short(speed)}/s` : `${short(1 / speed)} s each`);
  if (remark) parts.push(remark);
  else if (fresh > 0 && done < total) parts.push(`${duration(left / speed)} left`);
  else if (done >= total) parts.push(`took ${duration(before + seconds)}`);
  for (const [name, value] of Object.entries(metrics)) parts.push(`${printable(name)} ${Number(value.toPrecision(4))}`);
  return parts.join('  ');
}

const short = (value: number): string => (value >= 100 ? String(Math.round(value)) : value.toPrecision(3));

/** Seconds as a person would say them. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}
