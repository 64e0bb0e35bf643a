// Sealed requests and answers, by an HPKE library (RFC 9180) that isn't ours.
import './platform.mjs';
import { createDecipheriv, createPublicKey, diffieHellman, hkdfSync } from 'node:crypto';
import { Aes256Gcm, CipherSuite, HkdfSha256 } from '@hpke/core';
import { DhkemX25519HkdfSha256 } from '@hpke/dhkem-x25519';

const KINDS = {
  assign: { info: Buffer.from('cloakroom v1 assign'), size: 6144 },
  refresh: { info: Buffer.from('cloakroom v1 refresh'), size: 4096 },
};
const ANSWER = Buffer.from('cloakroom v1 answer');
const DEVICE = Buffer.from('cloakroom v1 device');
const [NONCE, TAG] = [32, 16];

/**
 * Seals a request to a key, bound to a token's hash (`assign`) or a lease (`refresh`), with the proof that the sender holds
 * a device's private key: the envelope, and what opens the answer to it.
 */
export async function seal(kind, recipient, bound, device, content) {
  const { info, size } = KINDS[kind];
  const suite = new CipherSuite({
    kem: new DhkemX25519HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: new Aes256Gcm(),
  });
  const recipientPublicKey = await suite.kem.deserializePublicKey(whole(recipient));
  const sender = await suite.createSenderContext({ recipientPublicKey, info: whole(info) });
  const salt = await sender.export(whole(DEVICE), 32);
  const proof = proven(device, recipient, Buffer.from(salt), bound);
  const text = JSON.stringify({ ...content, device_proof: proof.toString('base64url') });
  const plain = Buffer.alloc(size);
  plain.writeUInt16BE(Buffer.byteLength(text));
  plain.write(text, 2);
  const sealed = await sender.seal(whole(plain), whole(bound));
  const enc = Buffer.from(sender.enc);
  const secret = await sender.export(whole(ANSWER), 32);
  const open = (answer) => opened(answer, enc, secret);
  return { request: Buffer.concat([recipient, enc, Buffer.from(sealed)]), open };
}

/** That the sender holds a device's private key, in the request whose exporter gave the salt. */
function proven(device, recipient, salt, bound) {
  const raw = (key) => Buffer.from(key.export({ format: 'jwk' }).x, 'base64url');
  const jwk = { kty: 'OKP', crv: 'X25519', x: Buffer.from(recipient).toString('base64url') };
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  const agreed = diffieHellman({ privateKey: device.privateKey, publicKey });
  const info = Buffer.concat([DEVICE, raw(device.publicKey), bound]);
  return Buffer.from(hkdfSync('sha256', agreed, salt, info, 32));
}

/** Opens an answer: key and nonce as RFC 9458 section 4.4 derives them. */
function opened(answer, enc, secret) {
  const nonce = answer.subarray(0, NONCE);
  const salt = Buffer.concat([enc, nonce]);
  const derived = (label, length) =>
    Buffer.from(hkdfSync('sha256', Buffer.from(secret), salt, label, length));
  const cipher = createDecipheriv('aes-256-gcm', derived('key', 32), derived('nonce', 12));
  cipher.setAuthTag(answer.subarray(-TAG));
  const plain = Buffer.concat([cipher.update(answer.subarray(NONCE, -TAG)), cipher.final()]);
  return JSON.parse(plain.subarray(2, 2 + plain.readUInt16BE()).toString());
}

/** The bytes in memory of their own: the library takes whole buffers. */
function whole(bytes) {
  return Uint8Array.from(bytes).buffer;
}
