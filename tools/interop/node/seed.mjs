// A token whose nonce, salt and blinding factor all come from one seed, so that the enclave can make the
// request again from it. The Privacy Pass library takes them from the system's randomness, each with a length
// of its own.
import './platform.mjs';
import { createHash } from 'node:crypto';
import { blake3 } from '@noble/hashes/blake3';

const CONTEXTS = {
  32: 'cloakroom 2026-11 privacy-pass token nonce v1',
  48: 'cloakroom 2026-11 privacy-pass token salt v1',
  256: 'cloakroom 2026-11 privacy-pass token blinding factor v1',
};

/** Makes a token request with what the seed gives for this challenge and key in place of randomness. */
export function seeded(seed, { challenge, tokenKey }) {
  return async (make) => {
    const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
    const input = Buffer.concat([seed, sha256(tokenKey), sha256(challenge.serialize())]);
    const streams = new Map();
    const fill = (array) => {
      const context = CONTEXTS[array.length];
      if (context === undefined) throw new Error(`${array.length} random bytes, for what?`);
      const begun = streams.get(context) ?? blake3.create({ context }).update(input);
      streams.set(context, begun);
      array.set(begun.xof(array.length));
      return array;
    };
    Object.defineProperty(crypto, 'getRandomValues', { value: fill, configurable: true });
    try {
      return await make();
    } finally {
      delete crypto.getRandomValues;
    }
  };
}
