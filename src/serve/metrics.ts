/** What a server tells a Prometheus: what has come, what has become of it, and how long rewards took. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DataSets } from './dataSets';

/** The metrics of a server, with those of its process. */
export function serverMetrics(counts: DataSets['counts']) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    ...{ name: 'dpg_http_requests_total', help: 'Requests by the status of their answer.', labelNames: ['status'] as const },
    registers,
  });
  const ended = new Counter({
    ...{ name: 'dpg_data_sets_total', help: 'Data sets by what became of them.', labelNames: ['outcome'] as const },
    registers,
  });
  const seconds = new Histogram({
    ...{ name: 'dpg_reward_seconds', help: 'Time that the rewards of a data set took.', buckets: [0.01, 0.1, 1, 10, 60, 600] },
    registers,
  });
  new Gauge({
    ...{ name: 'dpg_data_sets', help: 'Data sets that arrive, or wait for their rewards.', labelNames: ['state'] as const },
    registers,
    collect() {
      for (const [state, count] of Object.entries(counts())) this.set({ state }, count);
    },
  });
  return { registry, requests, ended, seconds };
}
