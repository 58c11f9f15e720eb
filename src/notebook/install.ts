/** What importing the project does to the process of a notebook, in one place. */
import { installStopButton } from './interrupt';
import { installKernelPatches } from './kernelPatches';
import { installOneFileMathjs } from './mathjs';
import { inKernel } from './tslab';

/** Makes mathjs load fast, and in a tslab kernel mends the kernel and the stop button. */
export function installNotebook(): void {
  installOneFileMathjs();
  if (!inKernel()) return;
  installKernelPatches();
  installStopButton();
}
