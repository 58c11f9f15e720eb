/**
 * Where models of a hub come from and where they go, as Python's `huggingface_hub` reads it from the environment: `HF_ENDPOINT` (another
 * hub), `HF_TOKEN`, or else what `hf auth login` stored (`HF_TOKEN_PATH`, `HF_HOME/token`), `HF_HOME` and `HF_HUB_CACHE` (the cache; `~` is
 * the user's folder), `HF_HUB_OFFLINE=1` (cache only). `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are read where requests are made.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { getHFHubCachePath, HUB_URL } from '@huggingface/hub';

/** How long a hub is waited for. */
export interface Patience {
  /** A connection that sends nothing for so long is given up, in milliseconds; an answer to a question must be whole in ten times that. */
  readonly silence: number;
  /** Milliseconds before the second try; every further pause is twice as long. */
  readonly pause: number;
}

export const PATIENCE: Patience = { silence: 60_000, pause: 500 };

const withHome = (path: string): string => path.replace(/^~(?=$|[/\\])/, homedir());

/** The cache that Python's library uses too. */
export const cacheFolder = (): string => withHome(getHFHubCachePath());

export const isOffline = (): boolean => /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? '');

/** The hub's address, without a slash at its end. @throws Error for what is no address, or one with a password in it */
export function endpoint(): string {
  const address = process.env.HF_ENDPOINT?.trim().replace(/\/+$/, '') || HUB_URL;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && /^https?:$/.test(url.protocol) && !url.username && !url.password) return address;
  throw new Error(`HF_ENDPOINT must be the address of a hub without user and password, e.g. ${HUB_URL}`);
}

/** Where the token of `hf auth login` lies. */
function tokenFile(): string {
  const { HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  return withHome(HF_TOKEN_PATH || join(home, 'token'));
}

/** What is given as the user's token, and where; empty where nothing is. */
function givenToken(): { token: string; from: string } {
  const inEnvironment = process.env.HF_TOKEN?.trim();
  const file = tokenFile();
  if (inEnvironment || !existsSync(file)) return { token: inEnvironment ?? '', from: 'HF_TOKEN' };
  return { token: readFileSync(file, 'utf8').trim(), from: file };
}

/** The user's token, if there is one. @throws Error naming where it is from, never what it is, if it can be none */
export function hubToken(): string | undefined {
  const { token, from } = givenToken();
  if (token && !/^hf_[\x21-\x7e]+$/.test(token)) throw new Error(`${from} is no token of the hub: those start with hf_`);
  return token || undefined;
}

/** A text without the user's token. */
export function withoutToken(text: string): string {
  const { token } = givenToken();
  return token ? text.replaceAll(token, 'hf_…') : text;
}

/** An error without the user's token, which a hub may have echoed into it or its cause. */
export function errorWithoutToken(error: unknown): unknown {
  const whole = inspect(error, { depth: 8 });
  if (withoutToken(whole) === whole) return error;
  return new Error(withoutToken(error instanceof Error ? error.message : String(error)));
}
