/** The packages that package-lock.json names: their licences, and which of them run a script when they are installed. */
import { expect, test } from 'vitest';
import { packages } from '../package-lock.json';

interface Locked {
  readonly license?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}
const locked = Object.entries(packages as Record<string, Locked>).filter(
  ([place, { link }]) => place.startsWith('node_modules/') && !link,
);
const nameOf = (place: string): string => place.replace(/.*node_modules\//, '');

/** Whether one may pass a package on under these terms without licensing one's own work under them. */
const ALLOWED = /^(MIT|ISC|0BSD|Unlicense|Python-2\.0|(Apache|MPL)-2\.0|BSD-[23]-Clause|BlueOak-1\.0\.0|CC0-1\.0)$/;
function allowed(licence: string): boolean {
  const terms = licence.replace(/[()]/g, '');
  if (terms.includes(' OR ')) return terms.split(' OR ').some(allowed);
  return terms.split(' AND ').every((term) => ALLOWED.test(term));
}

test('every package says its licence, and none is of the GPL', () => {
  expect(locked.length).toBeGreaterThan(200);
  expect(locked.filter(([, { license }]) => !allowed(license ?? 'none')).map(([place]) => nameOf(place))).toEqual([]);
});

test('the lock file says what is installed, not from where: any mirror of the registry will do', () => {
  const addresses = Object.entries(
    packages as Record<string, { resolved?: string; dependencies?: Record<string, string> }>,
  ).flatMap(([place, { resolved = '', dependencies = {} }]) =>
    [resolved, ...Object.values(dependencies)].filter((text) => text.includes('://')).map((text) => `${place}: ${text}`),
  );
  expect(addresses).toEqual([]);
});

test.each([
  ['GPL-3.0', false],
  ['MIT AND LGPL-2.1', false],
  ['(AFL-2.1 OR BSD-3-Clause)', true],
  ['none', false],
])('%s is allowed: %s', (licence, is) => expect(allowed(licence)).toBe(is));

test('no package but these runs a script at install', () => {
  expect(locked.filter(([, { hasInstallScript }]) => hasInstallScript).map(([place]) => nameOf(place))).toEqual([
    '@tensorflow/tfjs-node-gpu', // fetches libtensorflow
    'core-js', // of the umbrella package, which tfjs-node brings: a line of advertisement
    'tfjs-node-native', // fetches libtensorflow
    'zeromq', // takes its prebuilt library
  ]);
});
