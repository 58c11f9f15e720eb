/** The fused layers' kernels on a GPU: one file per layer, as the assembly kernels are. */
import type { Kernels } from '../kernels';
import { adamw } from './adamw';
import { attention } from './attention';
import { attentionStep } from './attentionStep';
import { crossEntropy } from './crossEntropy';
import { embedding } from './embedding';
import { gelu } from './gelu';
import { gemm } from './gemm';
import { layerNorm } from './layerNorm';
import { matrix } from './matrix';
import { policyLoss } from './policy';
import type { Recorder } from './recorder';
import { rotary } from './rotary';
import { sampling } from './sample';
import { support } from './support';
import { swiglu } from './swiglu';

/** All kernels, recorded by `r`. */
export const gpuKernels = (r: Recorder): Kernels => ({
  ...gemm(r),
  ...matrix(r),
  ...embedding(r),
  ...layerNorm(r),
  ...gelu(r),
  ...swiglu(r),
  ...rotary(r),
  ...attention(r),
  ...attentionStep(r),
  ...crossEntropy(r),
  ...policyLoss(r),
  ...adamw(r),
  ...sampling(r),
  ...support(r),
});
