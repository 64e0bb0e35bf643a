// A whole customer of which nothing is ours: Cloudflare's Privacy Pass, an HPKE library, jose for the tokens, a CBOR
// decoder for the attestation. From a subscription receipt to a WireGuard peer.
//
//   node assign.mjs --demo D/demo.json
//
// Prints one JSON object; any check that fails is an error.
import { readFileSync } from 'node:fs';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import './node/platform.mjs';
import { EmbeddedJWK, calculateJwkThumbprint, createLocalJWKSet, flattenedVerify, jwtVerify } from 'jose';

import { attested } from './node/attestation.mjs';
import { seal } from './node/envelope.mjs';
import { challenged, draw, keepingReceipt, presented } from './node/privacy-pass.mjs';
import { assign, fromArguments, json, post } from './node/provider.mjs';
import { seeded } from './node/seed.mjs';

const { urls, srt, provider: file } = fromArguments();
if (file === undefined) throw new Error('give --demo FILE');
const algorithms = ['EdDSA'];

// Whom to trust: the provider's file, a JWS that carries its signer's key.
const signed = await flattenedVerify(JSON.parse(readFileSync(file, 'utf8')), EmbeddedJWK, { algorithms });
const provider = JSON.parse(Buffer.from(signed.payload).toString());
const boot = JSON.parse(provider.enclave.boot_configuration);
await jwtVerify(srt, createLocalJWKSet(boot.srt_keys), {
  algorithms, issuer: 'accounts', audience: 'blind-token-service', typ: 'srt+jwt',
});

// The enclave.
const nonce = randomBytes(32);
const served = await json(await fetch(`${urls.enclave}/attestation?nonce=${nonce.toString('hex')}`));
const { sealingKey, mintingKey } = attested(provider.enclave, served, nonce);

// A token from a seed, and the receipt of its issuance.
const challenge = await challenged(urls);
const seed = randomBytes(32);
let receipt;
const send = keepingReceipt((kept) => (receipt = kept));
const token = await draw(urls, srt, challenge, seeded(seed, challenge), send);
const { payload: issuance } = await jwtVerify(receipt, createLocalJWKSet(boot.issuance_keys), {
  algorithms, issuer: 'blind-token-service', audience: 'enclave', typ: 'issuance-receipt+jwt',
});
const key = await json(await fetch(`${urls.blind_token_service}/api/v1/public-key?purpose=dedicated-ip`));

// The request to the enclave, sealed, and its answer.
const pair = generateKeyPairSync('x25519');
const device = pair.publicKey.export({ format: 'jwk' });
const deviceKey = Buffer.from(device.x, 'base64url').toString('base64');
const tokenBytes = Buffer.from(token.serialize());
const content = {
  srt, receipt, seed: seed.toString('hex'), token: tokenBytes.toString('base64url'), key, device: deviceKey,
};
const bound = createHash('sha256').update(tokenBytes).digest();
const sealed = await seal('assign', sealingKey, bound, pair, content);
const answer = await json(await assign(urls, presented(token), sealed.request.toString('base64url')));
const { granted } = sealed.open(Buffer.from(answer.sealed, 'base64url'));
if (granted === undefined) throw new Error('the enclave refused');

// The access token, which names address and device, and the peer that it makes.
const minted = createLocalJWKSet({ keys: [mintingKey] });
const { payload: dat } = await jwtVerify(granted.dat, minted, {
  algorithms, issuer: 'enclave', audience: 'gateway', typ: 'dat+jwt',
});
const { payload: drt } = await jwtVerify(granted.drt, minted, {
  algorithms, issuer: 'enclave', audience: 'enclave', typ: 'drt+jwt',
});
const thumbprint = await calculateJwkThumbprint(device);
if (dat.cnf.jkt !== thumbprint) throw new Error("the access token is another device's");
if (dat.dip_details.ip !== granted.ip || drt.dip_details.ip !== granted.ip) throw new Error('another address');
if (drt.sub !== issuance.sub || drt.lease !== answer.lease) throw new Error('another lease');
const peer = await json(
  await post(`${answer.gateway.url}/api/v1/peers`, { dat: granted.dat, device: deviceKey }),
);
console.log(JSON.stringify({ dedicated_ip: granted.ip, lease: answer.lease, device: deviceKey, peer }));
