// Writes vectors.json to standard output: Access Codes, what is derived from them, and backups (docs/spec/backup.md), by others'
// implementations alone (see tools/interop/node/access-code.mjs). `npm ci` in tools/interop comes first.
//
//   node derive.mjs > vectors.json
import { canonical, check, derived, open, seal, signatures } from '../../tools/interop/node/access-code.mjs';

const hex = (bytes) => Buffer.from(bytes).toString('hex');

const contents = {
  signer: 'UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4',
  lease: 'aa'.repeat(16),
  region: 'eu-1',
  ip: '203.0.113.7',
  drt: 'a.b.c',
  drt_ends: 500100,
  gateway: {
    url: 'http://127.0.0.1:3006',
    tunnel: {
      public_key: 'CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
      endpoint: '[2001:db8::1]:51820',
      inner_address: '100.64.0.2',
      resolver: '100.64.0.1',
    },
  },
};

async function vector([code, saltByte, nonceByte]) {
  const salt = Buffer.alloc(16, saltByte);
  const keys = await derived(code, salt);
  const json = JSON.stringify(contents);
  const nonce = Buffer.alloc(12, nonceByte);
  const blob = await seal(keys, nonce, json);
  if ((await open(keys, blob)) !== json) throw new Error('it does not open');
  const { write, remove } = signatures(keys, blob);
  return {
    code,
    canonical: canonical(code),
    salt: hex(salt),
    root: hex(keys.root),
    key: hex(keys.key),
    write_seed: hex(keys.seed),
    write_key: hex(keys.writeKey),
    locator: hex(keys.locator),
    contents: json,
    nonce: hex(nonce),
    blob: hex(blob),
    write_signature: hex(write),
    remove_signature: hex(remove),
  };
}

const random = '7K3QF9XMRT02ABCD';
const generated = `${random}${check(random)}`.replace(/.{5}(?=.)/gu, '$&-');
const vectors = [];
for (const one of [
  [generated, 0x11, 0x21],
  [generated.toLowerCase().replace('0', 'o').replace(/-/gu, ' '), 0x12, 0x22],
  ['the \u{fb01}nch\u{a0}\u{ff57}ore  a be\u{301}ret in Ulm ', 0x13, 0x23],
]) {
  vectors.push(await vector(one));
}
console.log(JSON.stringify({ vectors }, null, 2));
