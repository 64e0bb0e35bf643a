// Access Codes and backups (docs/spec/backup.md): Argon2id by @noble/hashes, HKDF, AES-GCM and SHA-256 by WebCrypto, Ed25519 by
// Node.js. Nothing of it is ours.
import './platform.mjs';
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { argon2id } from '@noble/hashes/argon2';

const SYMBOLS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const [BLOB, NONCE, TAG] = [3072, 12, 16];
const text = (string) => Buffer.from(string, 'utf8');
const sha256 = (...pieces) => createHash('sha256').update(Buffer.concat(pieces)).digest();

/** The 4 symbols that check 16 others. */
export function check(random) {
  const hash = sha256(text('cloakroom v1 access code'), text(random));
  const bits = hash.readUIntBE(0, 3) >>> 4;
  return [15, 10, 5, 0].map((shift) => SYMBOLS[(bits >>> shift) & 31]).join('');
}

/** What is hashed of a code that somebody wrote. */
export function canonical(written) {
  const normal = written.normalize('NFKC').trim().split(/\s+/u).join(' ');
  const symbols = normal.replace(/[ \-\u2010-\u2015\u2212]/gu, '').toUpperCase();
  if (!/^[0-9A-Z]{20}$/u.test(symbols)) return normal;
  const read = symbols.replace(/O/gu, '0').replace(/[IL]/gu, '1');
  if (check(read.slice(0, 16)) !== read.slice(16)) throw new Error('mistyped');
  return read;
}

/** Everything that comes of a code and the account's salt. */
export async function derived(code, salt) {
  const root = Buffer.from(argon2id(text(canonical(code)), salt, { t: 3, m: 65_536, p: 1, version: 0x13, dkLen: 32 }));
  const ikm = await crypto.subtle.importKey('raw', root, 'HKDF', false, ['deriveBits']);
  const expand = async (info) => {
    const how = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: text(info) };
    return Buffer.from(await crypto.subtle.deriveBits(how, ikm, 256));
  };
  const key = await expand('cloakroom v1 backup key');
  const seed = await expand('cloakroom v1 backup write key');
  // RFC 8410: an Ed25519 private key is its seed.
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const pair = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const writeKey = Buffer.from(createPublicKey(pair).export({ format: 'jwk' }).x, 'base64url');
  const locator = sha256(text('cloakroom v1 backup locator'), writeKey);
  return { root, key, seed, pair, writeKey, locator };
}

const cipher = async ({ key, locator }, iv, use) => {
  const how = { name: 'AES-GCM', iv, additionalData: Buffer.concat([text('cloakroom v1 backup'), locator]) };
  return [how, await crypto.subtle.importKey('raw', key, 'AES-GCM', false, [use])];
};

/** Opens a backup: the contents' text. */
export async function open(keys, blob) {
  if (blob.length !== BLOB) throw new Error('another size');
  const [how, key] = await cipher(keys, blob.subarray(0, NONCE), 'decrypt');
  const plain = Buffer.from(await crypto.subtle.decrypt(how, key, blob.subarray(NONCE)));
  const end = 3 + plain.readUInt16BE(1);
  if (plain[0] !== 1 || plain.subarray(end).some((byte) => byte !== 0)) throw new Error('padding');
  return plain.subarray(3, end).toString();
}

/** Seals contents into a backup. */
export async function seal(keys, nonce, contents) {
  const plain = Buffer.alloc(BLOB - NONCE - TAG);
  plain[0] = 1;
  plain.writeUInt16BE(Buffer.byteLength(contents), 1);
  plain.write(contents, 3);
  const [how, key] = await cipher(keys, nonce, 'encrypt');
  return Buffer.concat([nonce, Buffer.from(await crypto.subtle.encrypt(how, key, plain))]);
}

/** The signatures of the requests that write a backup and remove it. */
export function signatures({ pair, locator }, blob) {
  return {
    write: sign(null, Buffer.concat([text('cloakroom v1 backup write'), locator, sha256(blob)]), pair),
    remove: sign(null, Buffer.concat([text('cloakroom v1 backup remove'), locator]), pair),
  };
}
