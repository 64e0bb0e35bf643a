// An AWS Nitro attestation document, checked with Node.js's own cryptography and a CBOR decoder that isn't ours.
import { X509Certificate, createHash, createPublicKey, verify } from 'node:crypto';
import { decode, encode } from 'cborg';

const CBOR = { useMaps: true };
const ES384 = -35;

/**
 * The enclave's keys, after all checks: chain, dates, signature, nonce, PCRs, and that configuration and minting key are
 * what was measured.
 * @param pin the provider's `enclave`
 * @param served what the enclave's parent answered
 * @param nonce what it was asked with
 */
export function attested(pin, served, nonce) {
  const [protectedHeader, , payload, signature] = decode(bytes(served.document), CBOR);
  if (decode(protectedHeader, CBOR).get(1) !== ES384) throw new Error('not ES384');
  const document = decode(payload, CBOR);

  const root = new X509Certificate(Buffer.from(pin.root, 'base64'));
  const chain = [...document.get('cabundle'), document.get('certificate')].map(certificate);
  if (!chain[0].raw.equals(root.raw)) throw new Error('another root');
  chain.forEach((one, index) => {
    const issuer = chain[Math.max(index - 1, 0)];
    if (!one.checkIssued(issuer) || !one.verify(issuer.publicKey)) throw new Error(`certificate ${index}`);
    if (Date.parse(one.validFrom) > Date.now() || Date.parse(one.validTo) < Date.now()) {
      throw new Error(`certificate ${index} is not valid now`);
    }
  });

  const signed = encode(['Signature1', protectedHeader, new Uint8Array(), payload]);
  const key = { key: chain.at(-1).publicKey, dsaEncoding: 'ieee-p1363' };
  if (!verify('sha384', signed, key, signature)) throw new Error('the signature');

  const is = (name, expected) => {
    if (!Buffer.from(document.get(name)).equals(expected)) throw new Error(name);
  };
  is('nonce', nonce);
  for (const [index, digits] of Object.entries(pin.pcrs)) {
    const measured = Buffer.from(document.get('pcrs').get(Number(index)));
    if (measured.toString('hex') !== digits) throw new Error(`PCR${index}`);
  }
  const configuration = bytes(served.boot_configuration);
  if (configuration.toString() !== pin.boot_configuration) throw new Error('another configuration');
  const minting = bytes(served.minting_key.x);
  createPublicKey({ key: served.minting_key, format: 'jwk' });
  is('user_data', createHash('sha256').update(configuration).update(minting).digest());
  return { sealingKey: document.get('public_key'), mintingKey: served.minting_key };
}

function certificate(der) {
  return new X509Certificate(Buffer.from(der));
}

function bytes(text) {
  return Buffer.from(text, 'base64url');
}
