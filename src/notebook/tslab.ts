/**
 * The tslab kernel this process may be, reached through what it leaves in `globalThis.__tslab__`.
 *
 * tslab's public display API sends one MIME type a message; its own channel, used here, sends bundles.
 */
import path from 'node:path';

/** Representations of one output by MIME type; the front end shows the richest it knows. */
export type MimeBundle = Readonly<Record<string, unknown>>;

interface DisplayData {
  readonly data: MimeBundle;
  readonly metadata: object;
  readonly transient: { readonly display_id: string };
}
export type Channel = (content: DisplayData, update: boolean) => void;

/**
 * The loaded CommonJS modules of the kernel's process whose file names end so: a global tslab hands over to the project's own, and both are
 * there.
 */
export function loadedModules<Exports>(suffix: string): Exports[] {
  const kernel = (globalThis as { __tslab__?: { require: NodeJS.Require } }).__tslab__;
  const modules = Object.values(kernel?.require.cache ?? {});
  const found = modules.filter((module) => module?.filename.endsWith(path.normalize(suffix)));
  return found.map((module) => module?.exports as Exports);
}

/** True inside a tslab kernel. */
export const inKernel = (): boolean => '__tslab__' in globalThis;

/** Sends an output to the cell that runs now; false outside a kernel. */
export function sendDisplay(data: MimeBundle, id: string, update: boolean): boolean {
  const loaded = loadedModules<{ lastWriteDisplayData: Channel | null }>('tslab/dist/jupyter.js');
  const channel = loaded.find((module) => module.lastWriteDisplayData)?.lastWriteDisplayData;
  channel?.({ data, metadata: {}, transient: { display_id: id } }, update);
  return channel !== undefined;
}
