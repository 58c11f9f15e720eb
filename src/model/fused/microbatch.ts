/** What every layer function runs on. */
import type { Kernels, Pointer } from '../../tensor/kernels/kernels';

/** Some examples of one length inside a worker's memory. */
export interface Microbatch {
  readonly k: Kernels;
  readonly examples: number;
  /** Positions per example. */
  readonly length: number;
  /** examples · length */
  readonly rows: number;
  /** n_embd */
  readonly width: number;
  readonly heads: number;
  readonly vocab: number;
  readonly epsilon: number;
  /** Work space of the attention kernels. */
  readonly work: Pointer;
}
