/**
 * A sweep as one array job of Slurm: each task makes one run, is told a minute before its end, and is queued again until the run is done.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { writeFileAtomic } from '../files/atomicFile';
import { UsageError } from './command';
import { MAIN } from './sweepRun';
import type { SweepValues } from './sweepPlan';

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Indices as Slurm writes them: `0-3,7`. */
export function indexRanges(indices: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const index of indices) {
    const last = ranges.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(',');
}

/**
 * The script of the array job. Slurm sends USR1 to the process that it has started alone: that is `dpg sweep run`, which `exec` puts there.
 */
export function slurmScript(
  folder: string,
  indices: readonly number[],
  { partition, time, sbatch, ...values }: SweepValues,
): string {
  const parallel = values['max-parallel'];
  const options = [
    `--job-name=${quoted(path.basename(folder))}`,
    `--array=${indexRanges(indices)}${parallel === undefined ? '' : `%${parallel}`}`,
    '--requeue',
    '--signal=B:USR1@60',
    '--open-mode=append',
    `--chdir=${quoted(folder)}`,
    '--output=slurm-%a.out',
    ...(partition === undefined ? [] : [`--partition=${quoted(partition)}`]),
    ...(time === undefined ? [] : [`--time=${quoted(time)}`]),
    ...(sbatch === undefined ? [] : [sbatch]),
  ];
  const command = [process.execPath, MAIN].map(quoted).join(' ');
  return [
    '#!/bin/sh',
    ...options.map((option) => `#SBATCH ${option}`),
    `exec ${command} sweep run ${quoted(folder)} "$SLURM_ARRAY_TASK_ID"`,
    '',
  ].join('\n');
}

/** Hands the array job to Slurm. @returns what it says, `Submitted batch job 17` @throws UsageError with Slurm's complaint */
export function submit(folder: string, script: string): string {
  const file = path.join(folder, 'sweep.sh');
  writeFileAtomic(file, script);
  return slurm('sbatch', file);
}

/** Queues the running task again; Slurm then ends it. */
export const requeue = ({ SLURM_ARRAY_JOB_ID, SLURM_ARRAY_TASK_ID } = process.env): string =>
  slurm('scontrol', 'requeue', `${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}`);

function slurm(command: string, ...args: string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
    throw new UsageError(
      `there is no ${command} on this machine: use --slurm where Slurm is, --local N here, or --dry-run for the script`,
    );
  if (error) throw error;
  if (status !== 0) throw new UsageError(`${command}: ${stderr.trim().replaceAll('\n', '; ')}`);
  return stdout.trim();
}
