/**
 * A tslab kernel as a child process: no Python, no Jupyter server. ZeroMQ comes from tslab's own dependencies.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type Client, type Connection, type ZeroMq } from './client';
import type { Message } from './wire';

/** A running kernel. */
export interface Kernel {
  /** `language_info` of the kernel, as notebooks store it. */
  readonly languageInfo: Record<string, unknown>;
  /** Settles with the exit code or the signal's name when the process has ended. */
  readonly exited: Promise<number | string>;
  /** Runs one cell; `onOutput` sees every output until the next call. Null when the kernel died before it answered. */
  execute(code: string, onOutput: (message: Message) => void): Promise<ExecuteReply | null>;
  /** Sends another request of the shell channel, e.g. `inspect_request`; settles with the content of its reply. */
  request(type: string, content: object): Promise<Message['content']>;
  /** What the stop button does: SIGINT. */
  readonly interrupt: () => void;
  readonly kill: () => void;
  /** Asks the kernel to shut down, and kills it if it does not within 1.5 s. */
  close(): Promise<void>;
}

/** A kernel's answer to {@link Kernel.execute}. */
export interface ExecuteReply {
  readonly ok: boolean;
  readonly executionCount: number | null;
}

// The kernel reads nothing from stdin, so its end means that the runner is gone, however it died.
const EXIT_WITH_PARENT =
  'data:text/javascript,import{isMainThread}from"node:worker_threads";' +
  'if(isMainThread)process.stdin.on("end",()=>process.exit(1)).resume().unref()';

const START_TSLAB = path.resolve(__dirname, '../../../dist/notebook/startTslab.js');

/**
 * Starts the tslab this package depends on (tslab itself prefers one installed nearer to `cwd`).
 *
 * @param cwd - folder of the notebook: its imports are relative to it
 * @throws when the kernel ends or does not answer within `timeoutMs`
 */
export async function startKernel({ cwd, timeoutMs = 60_000 }: { cwd: string; timeoutMs?: number }): Promise<Kernel> {
  const tslab = path.dirname(createRequire(__filename).resolve('tslab/package.json'));
  const connection = await newConnection();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-kernel-'));
  const file = path.join(folder, 'connection.json');
  fs.writeFileSync(file, JSON.stringify(connection), { mode: 0o600 });

  const child = spawnKernel(file, cwd);
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const client = connectClient(createRequire(path.join(tslab, 'package.json'))('zeromq') as ZeroMq, connection);

  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      void client.ask('control', 'shutdown_request', { restart: false });
      await Promise.race([exited, sleep(1500)]);
      kill();
      await exited;
    }
    process.off('exit', kill);
    client.close();
    fs.rmSync(folder, { recursive: true, force: true });
  };
  const info = await firstAnswer(client, exited, timeoutMs);
  if (!info) {
    await close();
    throw new Error(`the tslab kernel did not answer within ${timeoutMs / 1000} s (exit: ${child.exitCode ?? child.signalCode})`);
  }
  return {
    languageInfo: info.content.language_info as Record<string, unknown>,
    exited,
    execute: (code, onOutput) => Promise.race([execute(client, code, onOutput), exited.then(() => null)]),
    request: async (type, content) => (await client.ask('shell', type, content)).content,
    interrupt: () => void child.kill('SIGINT'),
    kill,
    close,
  };
}

async function newConnection(): Promise<Connection> {
  const [shell_port, iopub_port, stdin_port, control_port, hb_port] = await freePorts(5);
  const ports = { shell_port, iopub_port, stdin_port, control_port, hb_port };
  return { transport: 'tcp', ip: '127.0.0.1', ...ports, key: randomUUID(), signature_scheme: 'hmac-sha256' };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

function spawnKernel(connectionFile: string, cwd: string): ChildProcess {
  const node = ['--enable-source-maps', '--import', EXIT_WITH_PARENT];
  return spawn(process.execPath, [...node, START_TSLAB, 'kernel', '--config-path', connectionFile], {
    cwd,
    env: { ...process.env, FORCE_COLOR: '0' }, // saved outputs must not depend on the terminal
    stdio: ['pipe', 'inherit', 'inherit'],
    detached: process.platform !== 'win32', // its own process group: Ctrl-C in a terminal must reach it through us alone
  });
}

/** Repeats kernel_info until it is answered with reply and idle: a subscription joins late, and its first messages are lost. */
async function firstAnswer(client: Client, exited: Promise<unknown>, timeoutMs: number): Promise<Message | undefined> {
  const deadline = Date.now() + timeoutMs;
  let ended = false;
  void exited.then(() => (ended = true));
  while (!ended && Date.now() < deadline) {
    const answer = await Promise.race([client.ask('shell', 'kernel_info_request', {}), exited, sleep(300)]);
    if (typeof answer === 'object') return answer as Message;
  }
  return undefined;
}

async function execute(client: Client, code: string, onOutput: (message: Message) => void): Promise<ExecuteReply> {
  client.onOutput = onOutput;
  const options = { silent: false, store_history: true, user_expressions: {}, allow_stdin: false, stop_on_error: true };
  const { content } = await client.ask('shell', 'execute_request', { code, ...options });
  return { ok: content.status === 'ok', executionCount: (content.execution_count as number | undefined) ?? null };
}
