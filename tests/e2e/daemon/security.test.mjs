// SPDX-License-Identifier: Apache-2.0
// TLS, and who is let in from where.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import { Client, Daemon, textOf, within, workFile } from './daemon.mjs';

// GET over TLS that trusts `ca` alone: { status, body, protocol }
function get(daemon, route, ca, headers = daemon.auth) {
  return within(20000, new Promise((done, fail) => {
    https.get(daemon.url + route, { ca, headers, agent: false }, (response) => {
      let body = '';
      const protocol = response.socket.getProtocol();
      response.on('data', (text) => (body += text));
      response.on('end', () => done({ status: response.statusCode, body, protocol }));
    }).on('error', fail);
  }), route);
}

async function serves(daemon, ca) {
  const models = await get(daemon, '/v1/models', ca);
  assert.equal(models.status, 200);
  assert.match(models.protocol, /^TLSv1\.[23]$/);
  assert.equal(JSON.parse(models.body).data[0].id, 'storyteller');
  assert.equal((await get(daemon, '/v1/models', ca, {})).status, 401);
  const client = await Client.hello(daemon, { ca });
  assert.ok(client.socket._socket.encrypted);
  client.say({ type: 'generate', id: 'a', prompt: 'Once upon a time', max_tokens: 30, ignore_eos: true });
  assert.equal((await client.last('a')).usage.completion_tokens, 30);
  assert.ok(textOf(client.of('a')).length > 20);
  await client.close();
}

// One that must not start: its exit code, and what it says.
async function refused(args, env, says) {
  const daemon = Daemon.launch(['--port', '0', ...args], env);
  const { code } = await within(60000, daemon.exited, 'refusal');
  assert.equal(code, 2, daemon.log);
  assert.match(daemon.log, says);
  assert.equal(daemon.out, '');
}

test('a certificate of our own making, over https and wss', async () => {
  const daemon = await Daemon.start(['--tls-self-signed']);
  assert.match(daemon.url, /^https:/);
  const file = `${process.env.XDG_CONFIG_HOME}/lamina/tls.pem`;
  const pem = fs.readFileSync(file, 'utf8');
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  assert.ok(daemon.log.includes(new X509Certificate(pem).fingerprint256), daemon.log);
  await serves(daemon, pem);
  // Who does not know it does not trust it, and nobody talks in clear.
  await assert.rejects(get(daemon, '/v1/models', undefined), /self.signed/i);
  await assert.rejects(Client.connect(daemon), /self.signed/i);
  await assert.rejects(new Promise((done, fail) => {
    http.get(daemon.url.replace('https', 'http') + '/health/live', done).on('error', fail);
  }));
  assert.equal((await get(daemon, '/health/live', pem, {})).status, 200);
  await daemon.stop();
  // The same one at the next start.
  const again = await Daemon.start(['--tls-self-signed']);
  assert.equal(fs.readFileSync(file, 'utf8'), pem);
  await serves(again, pem);
  assert.equal((await again.stop()).code, 0);
});

test('a given certificate and key', async () => {
  const pem = fs.readFileSync(`${process.env.XDG_CONFIG_HOME}/lamina/tls.pem`, 'utf8');
  const parts = pem.match(/-----BEGIN [^]*?-----END [^\n]*\n/g);
  const [cert, key] = [workFile('given.crt'), workFile('given.key')];
  fs.writeFileSync(cert, parts.find((p) => p.includes('CERTIFICATE')));
  fs.writeFileSync(key, parts.find((p) => p.includes('KEY')), { mode: 0o600 });
  const daemon = await Daemon.start(['--tls-cert', cert, '--tls-key', key]);
  assert.match(daemon.url, /^https:/);
  await serves(daemon, pem);
  assert.equal((await daemon.stop()).code, 0);
});

test('TLS that can not be is no plain HTTP instead', async () => {
  const fails = async (args, says) => {
    const daemon = Daemon.launch(['--port', '0', ...args]);
    const { code } = await within(60000, daemon.exited, 'refusal');
    assert.notEqual(code, 0);
    assert.match(daemon.log, says);
    assert.equal(daemon.out, '');
  };
  fs.writeFileSync(workFile('no.pem'), 'no certificate\n');
  await fails(['--tls-cert', workFile('given.crt')], /tls-key|key/);
  await fails(['--tls-key', workFile('given.key')], /tls-cert|certificate/);
  await fails(['--tls-cert', workFile('no.pem'), '--tls-key', workFile('given.key')], /no\.pem/);
  await fails(['--tls-cert', workFile('given.crt'), '--tls-key', workFile('no.pem')], /no\.pem/);
  await fails(['--tls-cert', workFile('absent'), '--tls-key', workFile('given.key')], /absent/);
});

test('beyond loopback only with token and TLS', async () => {
  for (const host of ['0.0.0.0', '::']) await refused(['--host', host], {}, /needs TLS.*--tls-self-signed/s);
  await refused([], { LAMINA_HOST: '0.0.0.0' }, /needs TLS/);
  fs.writeFileSync(workFile('open.json'), '{"host": "0.0.0.0"}');
  await refused(['--config', workFile('open.json')], {}, /needs TLS/);
});

test('beyond loopback with them', async () => {
  const daemon = await Daemon.start(['--host', '0.0.0.0', '--tls-self-signed']);
  const pem = fs.readFileSync(`${process.env.XDG_CONFIG_HOME}/lamina/tls.pem`, 'utf8');
  assert.match(daemon.url, /^https:\/\/localhost:/);
  await serves(daemon, pem);
  assert.equal((await daemon.stop()).code, 0);
});

test('who insists opens it to everybody, and is warned', async () => {
  const daemon = await Daemon.start(['--host', '0.0.0.0', '--insecure-no-auth']);
  assert.equal(daemon.token, null);
  assert.match(daemon.log, /everybody/);
  assert.equal((await fetch(`${daemon.url}/v1/models`)).status, 200);
  // Still no page of another site, and no other name (DNS rebinding).
  assert.equal((await fetch(`${daemon.url}/v1/models`, { headers: { Origin: 'https://evil.example' } })).status, 403);
  await assert.rejects(Client.connect(daemon, { token: '', headers: { Origin: 'https://evil.example' } }), /403/);
  await assert.rejects(Client.connect(daemon, { token: '', headers: { Host: 'evil.example' } }), /421/);
  const client = await Client.hello(daemon, { token: '' });
  await client.close();
  assert.equal((await daemon.stop()).code, 0);
});

test('the token is made once, for its owner alone', async () => {
  const file = workFile('token');
  const one = await Daemon.start(['--token-file', file]);
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  assert.equal(fs.readFileSync(file, 'utf8').trim(), one.token);
  assert.ok(one.token.length >= 43);
  await one.stop();
  const two = await Daemon.start(['--token-file', file]);
  assert.equal(two.token, one.token);
  await two.stop();
  const other = await Daemon.start(['--token-file', workFile('other')]);
  assert.notEqual(other.token, one.token);
  assert.equal((await fetch(`${other.url}/v1/models`, { headers: one.auth })).status, 401);
  await other.stop();
});
