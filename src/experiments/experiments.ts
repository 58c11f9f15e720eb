/**
 * The built-in experiments by name.
 */
import type { Definition } from './definition';
import { l2NormDefinition } from './l2Norm';
import { qrCodeDefinition } from './qrCode';
import { rephraseDefinition } from './rephrase';
import { sixtySevenDefinition } from './sixtySeven';
import { uuidDefinition } from './uuid';

const BUILT_IN = [qrCodeDefinition, sixtySevenDefinition, l2NormDefinition, rephraseDefinition, uuidDefinition];

export const EXPERIMENTS: Readonly<Record<string, Definition>> = Object.fromEntries(
  BUILT_IN.map((definition) => [definition.name, definition as unknown as Definition]),
);
