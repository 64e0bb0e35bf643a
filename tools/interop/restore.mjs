// A second device of which nothing is ours: it logs in, stretches an Access Code, opens the backup, refreshes the lease for a
// device key of its own, becomes a WireGuard peer, and writes the backup anew.
//
//   node restore.mjs --demo D/demo.json --code CODE
//
// Prints one JSON object; any check that fails is an error.
import { readFileSync } from 'node:fs';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import './node/platform.mjs';
import { EmbeddedJWK, calculateJwkThumbprint, createLocalJWKSet, flattenedVerify, jwtVerify } from 'jose';

import { derived, open, seal as sealBackup, signatures } from './node/access-code.mjs';
import { attested } from './node/attestation.mjs';
import { seal } from './node/envelope.mjs';
import { fromArguments, json, post } from './node/provider.mjs';

const { account, code, provider: file } = fromArguments();
if (file === undefined || account === undefined || code === undefined) throw new Error('give --demo FILE --code CODE');
const algorithms = ['EdDSA'];
const text = (bytes) => bytes.toString('base64url');

const signed = await flattenedVerify(JSON.parse(readFileSync(file, 'utf8')), EmbeddedJWK, { algorithms });
const { urls, enclave } = JSON.parse(Buffer.from(signed.payload).toString());

// The salt, and what the code leads to with it.
const login = { method: 'POST', headers: { Authorization: `Bearer ${account}` } };
const { srt, salt } = await json(await fetch(`${urls.accounts}/api/v1/srt`, login));
const keys = await derived(code, Buffer.from(salt, 'base64url'));
const { blob } = await json(await post(`${urls.backup}/api/v1/backup/read`, { locator: text(keys.locator) }));
const contents = JSON.parse(await open(keys, Buffer.from(blob, 'base64url')));

// This device's own tokens.
const nonce = randomBytes(32);
const served = await json(await fetch(`${urls.enclave}/attestation?nonce=${nonce.toString('hex')}`));
const { sealingKey, mintingKey } = attested(enclave, served, nonce);
const pair = generateKeyPairSync('x25519');
const device = pair.publicKey.export({ format: 'jwk' });
const deviceKey = Buffer.from(device.x, 'base64url').toString('base64');
const bound = Buffer.from(contents.lease, 'hex');
const sealed = await seal('refresh', sealingKey, bound, pair, { srt, drt: contents.drt, device: deviceKey });
const answer = await json(
  await post(`${urls.dip_service}/api/v1/refresh`, { lease: contents.lease, sealed: text(sealed.request) }),
);
const { granted } = sealed.open(Buffer.from(answer.sealed, 'base64url'));
if (granted === undefined) throw new Error('the enclave refused');
const { payload: dat } = await jwtVerify(granted.dat, createLocalJWKSet({ keys: [mintingKey] }), {
  algorithms, issuer: 'enclave', audience: 'gateway', typ: 'dat+jwt',
});
if (dat.cnf.jkt !== (await calculateJwkThumbprint(device))) throw new Error("the access token is another device's");
if (dat.dip_details.ip !== contents.ip || granted.lease !== contents.lease) throw new Error('another lease');
const peer = await json(
  await post(`${answer.gateway.url}/api/v1/peers`, { dat: granted.dat, device: deviceKey }),
);

// The backup with the newer refresh token.
const { drt, drt_ends } = granted;
const newer = JSON.stringify({ ...contents, drt, drt_ends, gateway: answer.gateway });
const written = await sealBackup(keys, randomBytes(12), newer);
const { write } = signatures(keys, written);
const body = { write_key: text(keys.writeKey), blob: text(written), signature: text(write) };
await json(await post(`${urls.backup}/api/v1/backup/write`, body));
const { blob: kept } = await json(await post(`${urls.backup}/api/v1/backup/read`, { locator: text(keys.locator) }));
if (kept !== text(written) || kept === blob) throw new Error('the backup was not written anew');
console.log(JSON.stringify({ dedicated_ip: contents.ip, lease: contents.lease, device: deviceKey, peer, drt }));
