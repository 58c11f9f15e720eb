/** What every layer function runs on. */
import type { Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import type { HeadRows } from './headRows';
import type { RotaryTables } from './rotary';

/** Some examples of one length inside a memory. */
export interface Microbatch {
  readonly k: Kernels;
  readonly layers: Layers;
  readonly examples: number;
  /** Positions per example. */
  readonly length: number;
  /** The first of them. */
  readonly first: number;
  /** examples · length */
  readonly rows: number;
  /** Work space of the attention kernels. */
  readonly work: Pointer;
  readonly rotary: RotaryTables;
  /** Where heads are normalized. */
  readonly heads: HeadRows | null;
}
