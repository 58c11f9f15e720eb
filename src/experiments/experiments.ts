/**
 * The experiments by name.
 */
import type { ConfigInput } from '../dpg/config';
import { l2Norm } from './normExperiment';
import { qrCode, sixtySeven } from './patternExperiment';
import { rephrase } from './rephrase';
import type { Experiment } from '../dpg/experiment';
import { uuid } from './uuid';
import type { ModelFolders } from '../dpg/models';

/** Makes an experiment from the configuration keys that differ from its defaults. */
export type ExperimentMaker = (input?: ConfigInput, folders?: ModelFolders) => Promise<Experiment>;

export const EXPERIMENTS: Readonly<Record<string, ExperimentMaker>> = {
  'qr-code': qrCode,
  'sixty-seven': sixtySeven,
  'l2-norm': l2Norm,
  rephrase,
  uuid,
};
