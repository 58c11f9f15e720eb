/** The optimizers by the names that configurations have for them; a new one is a line here, and a name in dpg/config.ts. */
import { adamw, lion, sgd, type Optimizer } from './optimizer';

/** What configurations say of any optimizer; each takes what it knows. */
export interface OptimizerSettings {
  readonly learningRate: number;
  readonly momentum: number;
  readonly b1: number;
  readonly b2: number;
  readonly eps: number;
  readonly epsRoot: number;
  readonly weightDecay: number;
}

interface NamedOptimizer {
  readonly make: (settings: OptimizerSettings) => Optimizer;
  /** Arrays as large as all parameters: of a state, and of what its adjoint makes on the way. */
  readonly trees: (settings: Pick<OptimizerSettings, 'momentum'>) => { readonly state: number; readonly adjoint: number };
}

export type OptimizerName = 'adamw' | 'sgd' | 'lion';

export const OPTIMIZERS: Readonly<Record<OptimizerName, NamedOptimizer>> = {
  adamw: { make: adamw, trees: () => ({ state: 3, adjoint: 14 }) },
  sgd: { make: sgd, trees: ({ momentum }) => (momentum > 0 ? { state: 2, adjoint: 6 } : { state: 1, adjoint: 5 }) },
  lion: { make: lion, trees: () => ({ state: 2, adjoint: 8 }) },
};
