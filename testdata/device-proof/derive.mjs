// Writes vectors.json to standard output: device proofs (docs/spec/enclave.md) by Node.js's own X25519 and HMAC and nothing
// else; the steps of HPKE (RFC 9180) are written down here a second time.
//
//   node derive.mjs > vectors.json
import { createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const filled = (byte, length) => Buffer.alloc(length, byte);
const text = (string) => Buffer.from(string);

// HKDF-SHA256 (RFC 5869). No output here is longer than one block.
const extract = (salt, ikm) => createHmac('sha256', salt.length ? salt : filled(0, 32)).update(ikm).digest();
const expand = (prk, info) => createHmac('sha256', prk).update(info).update(Buffer.of(1)).digest();

// RFC 9180 section 4; every output has 32 bytes.
const labelled = (suite) => ({
  extract: (salt, label, ikm) => extract(salt, Buffer.concat([text('HPKE-v1'), suite, text(label), ikm])),
  expand: (prk, label, info) =>
    expand(prk, Buffer.concat([Buffer.of(0, 32), text('HPKE-v1'), suite, text(label), info])),
});
const none = Buffer.alloc(0);
// DHKEM(X25519, HKDF-SHA256); the same with HKDF-SHA256 and AES-256-GCM.
const kem = labelled(Buffer.concat([text('KEM'), Buffer.of(0, 0x20)]));
const hpke = labelled(Buffer.concat([text('HPKE'), Buffer.of(0, 0x20, 0, 1, 0, 2)]));

// X25519 (RFC 7748) keys, raw and as Node.js takes them (RFC 8410).
const privateKey = (raw) =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), raw]),
    format: 'der',
    type: 'pkcs8',
  });
const publicKey = (secret) => createPublicKey(secret);
const raw = (key) => Buffer.from(key.export({ format: 'jwk' }).x, 'base64url');
const agree = (secret, other) => diffieHellman({ privateKey: secret, publicKey: publicKey(other) });

/** RFC 9180 section 7.1.3. */
const derived = (ikm) => privateKey(kem.expand(kem.extract(none, 'dkp_prk', ikm), 'sk', none));

/** RFC 9180 sections 4.1 and 5.1, base mode: the exporter's secret. */
function exporter(recipient, ephemeral, info) {
  const context = Buffer.concat([raw(publicKey(ephemeral)), raw(publicKey(recipient))]);
  const shared = kem.expand(
    kem.extract(none, 'eae_prk', agree(ephemeral, recipient)), 'shared_secret', context,
  );
  const hashes = [hpke.extract(none, 'psk_id_hash', none), hpke.extract(none, 'info_hash', info)];
  const schedule = Buffer.concat([Buffer.of(0), ...hashes]);
  return hpke.expand(hpke.extract(shared, 'secret', none), 'exp', schedule);
}

function vector([info, bound]) {
  const [recipientIkm, ephemeralIkm] = [filled(11, 32), filled(12, 32)];
  const [recipient, ephemeral] = [derived(recipientIkm), derived(ephemeralIkm)];
  // Alice's key in RFC 7748 section 6.1.
  const deviceBytes = Buffer.from('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a', 'hex');
  const device = privateKey(deviceBytes);
  const label = text('cloakroom v1 device');
  const salt = hpke.expand(exporter(recipient, ephemeral, text(info)), 'sec', label);
  const dh = agree(device, recipient);
  const proof = expand(extract(salt, dh), Buffer.concat([label, raw(publicKey(device)), bound]));
  return {
    info,
    associated_data: hex(bound),
    recipient_ikm: hex(recipientIkm),
    recipient_public: hex(raw(publicKey(recipient))),
    ephemeral_ikm: hex(ephemeralIkm),
    enc: hex(raw(publicKey(ephemeral))),
    device_private: hex(deviceBytes),
    device_public: hex(raw(publicKey(device))),
    salt: hex(salt),
    dh: hex(dh),
    proof: hex(proof),
  };
}

const vectors = [
  ['cloakroom v1 assign', filled(0x5a, 32)],
  ['cloakroom v1 refresh', filled(0xa5, 16)],
].map(vector);
console.log(JSON.stringify({ vectors }, null, 2));
