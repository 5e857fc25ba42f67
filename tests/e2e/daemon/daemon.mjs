// SPDX-License-Identifier: Apache-2.0
// The daemon under test, and clients of it.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import WebSocket from 'ws';

const schema = JSON.parse(fs.readFileSync(process.env.SCHEMA, 'utf8'));
const ajv = new Ajv.default({ strict: true });
ajv.addSchema(schema);
const isClient = ajv.getSchema(`${schema.$id}#/$defs/client`);
const isServer = ajv.getSchema(`${schema.$id}#/$defs/server`);

export const delay = (ms) => new Promise((done) => setTimeout(done, ms));

// Fails with `what` when `promise` takes longer.
export function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what}: nothing in ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// No daemon outlives its test.
const daemons = new Set();
process.on('exit', () => daemons.forEach((child) => child.kill('SIGKILL')));

export class Daemon {
  // `program`: another name of the binary; without `serve`, as `laminad`.
  static launch(args, env = {}, program = process.env.LAMINA, verb = ['serve']) {
    const daemon = new Daemon();
    daemon.child = spawn(program, [...verb, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    daemons.add(daemon.child);
    daemon.log = '';
    daemon.out = '';
    daemon.child.stderr.on('data', (text) => (daemon.log += text));
    daemon.child.stdout.on('data', (text) => (daemon.out += text));
    daemon.exited = new Promise((done) => {
      daemon.child.on('error', (error) => done({ code: null, error }));
      // All output has been read by then.
      daemon.child.on('close', (code, signal) => done({ code, signal }));
    });
    daemon.exited.then(() => daemons.delete(daemon.child));
    return daemon;
  }
  // Ends once it has told its address.
  static async start(args = [], env = {}, ...program) {
    const daemon = Daemon.launch(['--port', '0', '-t', '1', ...args], env, ...program);
    await within(60000, new Promise((done, fail) => {
      daemon.child.stdout.on('data', () => daemon.out.includes('\n') && done());
      daemon.exited.then((how) => fail(new Error(`the daemon left: ${how.error ?? daemon.log}`)));
    }), 'start');
    const url = new URL(daemon.out.trim());
    daemon.token = new URLSearchParams(url.hash.slice(1)).get('token');
    daemon.url = url.origin;
    return daemon;
  }
  get auth() {
    return { Authorization: `Bearer ${this.token}` };
  }
  get(route, options = {}) {
    return fetch(this.url + route, { ...options, headers: { ...this.auth, ...options.headers } });
  }
  post(route, body, headers = {}) {
    return this.get(route, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'Content-Type': 'application/json', ...headers },
    });
  }
  // Waits until /metrics has this.
  metric(pattern, ms = 30000) {
    return within(ms, (async () => {
      while (!pattern.test(await (await this.get('/metrics')).text())) await delay(50);
    })(), `metric ${pattern}`);
  }
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return within(30000, this.exited, 'exit');
  }
}

// A speaker of lamina.v1. Every frame, either way, is held against the schema.
export class Client {
  static async connect(daemon, { token = daemon.token, headers = {}, ca } = {}) {
    const client = new Client();
    client.frames = [];
    client.waiting = [];
    client.socket = new WebSocket(daemon.url.replace('http', 'ws') + '/ws', ['lamina.v1'], {
      headers: { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...headers },
      ca,
    });
    client.socket.on('message', (data) => client.hear(JSON.parse(data.toString())));
    client.closed = new Promise((done) => client.socket.on('close', (code) => done(code)));
    await within(10000, new Promise((done, fail) => {
      client.socket.on('open', done);
      client.socket.on('error', fail);
    }), 'open');
    return client;
  }
  static async hello(daemon, options) {
    const client = await Client.connect(daemon, options);
    client.say({ type: 'hello' });
    client.welcome = await client.next((f) => f.type === 'hello');
    client.session = client.welcome.session;
    return client;
  }
  hear(frame) {
    if (!isServer(frame)) this.fault = new Error(`${JSON.stringify(frame)}: ${JSON.stringify(isServer.errors)}`);
    this.frames.push(frame);
    this.waiting = this.waiting.filter((w) => !w(frame));
  }
  say(message) {
    if (!isClient(message)) throw new Error(`${JSON.stringify(message)}: ${JSON.stringify(isClient.errors)}`);
    this.socket.send(JSON.stringify(message));
  }
  // The first frame, so far or from now on, that `wanted` takes.
  async next(wanted, ms = 30000) {
    const found = this.frames.find(wanted) ??
      (await within(ms, new Promise((done) => {
        this.waiting.push((frame) => wanted(frame) && (done(frame), true));
      }), `frame ${wanted}`));
    if (this.fault) throw this.fault;
    return found;
  }
  last(id) {
    return this.next((f) => f.id === id && (f.type === 'done' || f.type === 'error'));
  }
  of(id) {
    return this.frames.filter((f) => f.id === id);
  }
  lastSeq(id) {
    return this.of(id).at(-1)?.seq ?? 0;
  }
  cut() {
    this.socket.terminate();
    return this.closed;
  }
  close() {
    this.socket.close();
    return this.closed;
  }
}

export const textOf = (frames) => frames.filter((f) => f.type === 'token').map((f) => f.text).join('');
export const workFile = (name) => path.join(process.env.WORK, name);
