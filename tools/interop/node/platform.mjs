// Debian 12's Node.js 18 has the Web Cryptography API, but not as a global. To be imported before the
// libraries that look for it.
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;
