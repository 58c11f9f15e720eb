// Everything the WebAssembly module exports. Pointers are byte offsets into the imported memory; nothing here allocates.
export { gemm, gemmBatch, scratchBytes, setScratch } from './gemm';
export { columnSum, gatherRows, scatterRows, transpose, zero } from './matrix';
export { embeddingBackward, embeddingForward } from './embedding';
export { layerNormBackward, layerNormForward, layerNormTangent, layerNormTangentBackward } from './layerNorm';
export { rotate } from './rotary';
export { swigluBackward, swigluForward, swigluTangent, swigluTangentBackward } from './swiglu';
export { geluBackward, geluForward, geluTangent, geluTangentBackward } from './gelu';
export {
  attentionBackward,
  attentionForward,
  attentionStep,
  attentionTangent,
  attentionTangentBackward,
  attentionWorkFloats,
  cacheKeysValues,
} from './attention';
export { crossEntropyBackward, crossEntropyForward, crossEntropyTangent, crossEntropyTangentBackward } from './crossEntropy';
export { policyBackward } from './policy';
export { adamwAdjoint, adamwUpdate } from './adamw';
export { sampleTokens } from './sample';
export { applySupport, minPSupport } from './support';
