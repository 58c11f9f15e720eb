/**
 * A running notebook in a terminal or a log file: streams as they come, updates of one display on one line.
 */

/** Where the outputs of a notebook go while it runs. */
export interface Terminal {
  /** Text of a cell, as it wrote it. */
  readonly write: (name: 'stdout' | 'stderr', text: string) => void;
  /** The text of a display; `id` tells an update from a new one. */
  readonly display: (id: string | undefined, text: string) => void;
  /** A line of the runner's own. */
  readonly note: (text: string) => void;
  /** The end of a cell: shows what {@link Terminal.display} held back. */
  readonly flush: () => void;
}

/** A stream that may be a terminal, like process.stdout. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** A log file gets at most one update of a display in so many milliseconds. */
const LOG_INTERVAL = 10_000;

/** Outputs to `out`, complaints and notes to `err`; `quiet` keeps only stderr. */
export function terminal({ out, err, quiet = false }: { out: Sink; err: Sink; quiet?: boolean }): Terminal {
  const shown = new Map<string | undefined, { text: string; at: number; held?: string }>();
  let redrawn: string | undefined; // the display on the terminal's unfinished last line

  const write = (sink: Sink, text: string) => {
    if (redrawn !== undefined) out.write('\n');
    redrawn = undefined;
    sink.write(text);
  };
  const redraw = (id: string, text: string) => {
    if (redrawn !== id) write(out, '');
    out.write(`\r\u001b[K${text.slice(0, (out.columns ?? 80) - 1)}`);
    redrawn = id;
  };
  const display = (id: string | undefined, text: string) => {
    const before = id === undefined ? undefined : shown.get(id);
    if (quiet || !text || before?.text === text) return;
    const at = Date.now();
    if (id !== undefined && out.isTTY && !text.includes('\n')) redraw(id, text);
    else if (before && at - before.at < LOG_INTERVAL) return void (before.held = text);
    else write(out, `${text}\n`);
    shown.set(id, { text, at });
  };
  return {
    write: (name, text) => {
      if (name === 'stderr') write(err, text);
      else if (!quiet) write(out, text);
    },
    display,
    note: (text) => void (quiet || write(err, `${text}\n`)),
    flush: () => {
      for (const [id, { held }] of [...shown]) {
        if (held === undefined) continue;
        shown.delete(id);
        display(id, held);
      }
      write(out, '');
    },
  };
}
