/**
 * Chat templates are programs that strangers wrote: they run in a process of their own, which ends where they go on for ever or fill the
 * memory. (In a thread, one array that is too large would end the whole program.)
 */
import { spawnSync } from 'node:child_process';

const [SECONDS, MEGABYTES] = [10, 128];

/** Answers { text } or { error } to the { template, values } on its input. */
const PROGRAM = `
const { Template } = require(process.argv[1]);
const { template, values } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
let answer;
try { answer = { text: new Template(template).render(values) }; } catch (error) { answer = { error: String(error?.message ?? error) }; }
process.stdout.write(JSON.stringify(answer));`;

/** What was rendered last: a run asks for the same request at every step. */
let last = { input: '', text: '' };

/**
 * Renders a Jinja template.
 * @throws Error with the template's own words where it fails; saying so where it does not end or fills the memory
 */
export function renderTemplate(template: string, values: object): string {
  const input = JSON.stringify({ template, values });
  if (input === last.input) return last.text;
  const flags = [`--max-old-space-size=${MEGABYTES}`, '-e', PROGRAM, require.resolve('@huggingface/jinja')];
  const { stdout, status } = spawnSync(process.execPath, flags, {
    input,
    encoding: 'utf8',
    timeout: SECONDS * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: MEGABYTES * 2 ** 20,
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  if (status !== 0) throw new Error(`it goes on for more than ${SECONDS} s, or takes more than ${MEGABYTES} MB`);
  const { text, error } = JSON.parse(stdout) as { text?: string; error?: string };
  if (text === undefined) throw new Error(error);
  last = { input, text };
  return text;
}
