/**
 * A forward pass in tfjs ops, for a Φ that looks at what a model does: it can be differentiated whichever engine trains.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../../tensor/params';
import { familyOf, type ModelConfig } from '../families';
import { lmHead, type Trace } from '../families/transformer';

/** What a model shows of some texts. */
export interface Forward {
  /** Of the next token after every position, [batch, length, vocab]. */
  readonly logits: tf.Tensor3D;
  /** What goes into every block, and last what goes into the LM head, [batch, length, width] each. */
  readonly hidden: readonly tf.Tensor3D[];
  /** How much every position attends to every other, a tensor a layer, [batch, heads, length, length] each. */
  readonly attentions: readonly tf.Tensor4D[];
}

/**
 * Logits, hidden states and attention maps.
 * @param ids - token ids of texts of one length
 * @throws RangeError for texts of different lengths, none, or longer than the model's positions, and for an id outside its vocabulary
 */
export function forward(config: ModelConfig, params: Params, ids: readonly (readonly number[])[]): Forward {
  const [batch, length] = [ids.length, ids[0]?.length ?? 0];
  const odd = ids.findIndex((text) => text.length !== length);
  if (odd >= 0)
    throw new RangeError(`texts must have one length: text 0 has ${length} tokens, text ${odd} has ${ids[odd].length}`);
  if (length < 1 || length > config.n_positions)
    throw new RangeError(`texts must have 1 to ${config.n_positions} tokens, the model's positions (got ${length})`);
  const stray = ids.flat().find((id) => !(Number.isInteger(id) && id >= 0 && id < config.vocab_size));
  if (stray !== undefined) throw new RangeError(`token id ${stray} is outside the vocabulary of ${config.vocab_size}`);
  const trace: Trace = { hidden: [], attentions: [] };
  const last = familyOf(config).hidden(params, config, Int32Array.from(ids.flat()), batch, undefined, trace); // [batch·length, width]
  const byText = (x: tf.Tensor2D): tf.Tensor3D => tf.reshape(x, [batch, length, x.shape[1]]);
  return { logits: byText(lmHead(params, last)), hidden: [...trace.hidden, last].map(byText), attentions: trace.attentions };
}
