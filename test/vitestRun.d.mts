/** Results of {@link runVitest}. */
interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function runVitest(report: string, args?: readonly string[], stdio?: 'inherit' | 'ignore'): Counts;
