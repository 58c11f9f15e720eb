/** What a call needs of the device: the kernel compiled, its buffers bound, its numbers uploaded. All is made once and kept. */
import type { Pointer } from '../kernels';
import { offsetOf, regionOf, type Buffers } from './buffers';
import { USAGE, type GpuBuffer, type GpuComputePass, type GpuDevice, type GpuHandle } from './device';
import { elementBytes, operands, wgsl, type Program } from './program';

/** Bytes of one call's numbers: the offset every adapter can bind at. */
const SLOT = 256;
/** Bind groups that are kept. */
const MOST_GROUPS = 20_000;
const COMPUTE = 4; // GPUShaderStage

/** Where a call's operands lie, by name. */
export type Places = Readonly<Record<string, Pointer>>;

interface Pipeline {
  readonly pipeline: GpuHandle;
  readonly layout: GpuHandle;
  readonly operands: ReturnType<typeof operands>;
  readonly sizes: readonly [name: string, type: string][];
  readonly groups: Map<string, GpuHandle>;
}

/** The numbers of `slots` calls in one buffer, bound at another offset for each. */
export function uniformRing(device: GpuDevice, slots: number) {
  const buffer = device.createBuffer({ size: slots * SLOT, usage: USAGE.UNIFORM | USAGE.COPY_DST });
  const words = new DataView(new ArrayBuffer(slots * SLOT));
  const layout = device.createBindGroupLayout({
    entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } }],
  });
  const group = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer, size: SLOT } }] });
  return {
    layout,
    bind: (pass: GpuComputePass, slot: number) => pass.setBindGroup(1, group, [slot * SLOT]),
    put(slot: number, known: Pipeline, at: Places, sizes: Readonly<Record<string, number>>) {
      let to = slot * SLOT;
      for (const [name, type] of known.sizes) {
        if (type === 'f32') words.setFloat32(to, sizes[name], true);
        else words.setUint32(to, sizes[name], true);
        to += 4;
      }
      for (const [name, element] of known.operands) {
        words.setUint32(to, offsetOf(at[name]) / elementBytes(element), true);
        to += 4;
      }
    },
    upload: (count: number) => device.queue.writeBuffer(buffer, 0, words.buffer as ArrayBuffer, 0, count * SLOT),
    destroy: () => buffer.destroy(),
  };
}

/** Compiles kernels. */
export function pipelines(device: GpuDevice, uniformLayout: GpuHandle): (p: Program) => Pipeline {
  const known = new Map<Program, Pipeline>();
  const build = (p: Program): Pipeline => {
    const all = operands(p);
    const type = (access: string) => (access === 'read' ? 'read-only-storage' : 'storage');
    const layout = device.createBindGroupLayout({
      entries: all.map(([, , access], binding) => ({ binding, visibility: COMPUTE, buffer: { type: type(access) } })),
    });
    const pipeline = device.createComputePipeline({
      label: p.name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout, uniformLayout] }),
      compute: { module: device.createShaderModule({ label: p.name, code: wgsl(p) }), entryPoint: 'main' },
    });
    return { pipeline, layout, operands: all, sizes: Object.entries<string>(p.sizes), groups: new Map() };
  };
  return (p) => {
    const found = known.get(p) ?? build(p);
    known.set(p, found);
    return found;
  };
}

/** Binds a call's buffers; a pointer 0 binds nothing that the kernel may read. */
export function bindGroups(device: GpuDevice, buffers: Buffers): (known: Pipeline, at: Places) => GpuHandle {
  const nothing = device.createBuffer({ size: SLOT, usage: USAGE.STORAGE });
  const all = new Set<Map<string, GpuHandle>>();
  let count = 0;
  const bufferOf = (at: Pointer): GpuBuffer => (at ? buffers.bufferAt(at) : nothing);
  return ({ groups, layout, operands: own }, at) => {
    const key = own.map(([name]) => regionOf(at[name])).join();
    const found = groups.get(key);
    if (found) return found;
    if (++count > MOST_GROUPS) {
      for (const each of all) each.clear();
      count = 1;
    }
    const entries = own.map(([name], binding) => ({ binding, resource: { buffer: bufferOf(at[name]) } }));
    const made = device.createBindGroup({ layout, entries });
    all.add(groups.set(key, made));
    return made;
  };
}
