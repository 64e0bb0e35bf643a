// A Privacy Pass issuer, origin and client that aren't ours, behind one small web server:
//
//   GET  /.well-known/private-token-issuer-directory   the issuer's directory
//   POST /token-request                                the issuer
//   GET  /resource                                     the origin: a challenge, or what it thinks of a token
//   GET  /token                                        an Authorization header that the client made with both
//
// Prints its URL and ends when its standard input does.
import './node/platform.mjs';
import { createServer } from 'node:http';
import {
  AuthorizationHeader,
  MediaType,
  PRIVATE_TOKEN_ISSUER_DIRECTORY,
  TOKEN_TYPES,
  WWWAuthenticateHeader,
  publicVerif,
} from '@cloudflare/privacypass-ts';

const { BlindRSAMode, Client, Issuer, Origin, TokenRequest, getPublicKeyBytes } = publicVerif;
const TYPE = TOKEN_TYPES.BLIND_RSA;
const REQUEST_URI = '/token-request';

const keys = await Issuer.generateKey(BlindRSAMode.PSS, {
  modulusLength: 2048,
  publicExponent: Uint8Array.from([1, 0, 1]),
});
const tokenKey = await getPublicKeyBytes(keys.publicKey);
const issuer = new Issuer(BlindRSAMode.PSS, 'issuer.example', keys.privateKey, keys.publicKey);
const origin = new Origin(BlindRSAMode.PSS, ['origin.example', 'other.example']);
const context = crypto.getRandomValues(new Uint8Array(32));
const challenge = origin.createTokenChallenge(issuer.name, context);

const routes = {
  [`GET ${PRIVATE_TOKEN_ISSUER_DIRECTORY}`]: () => ({
    headers: { 'Content-Type': MediaType.PRIVATE_TOKEN_ISSUER_DIRECTORY },
    body: JSON.stringify({
      'issuer-request-uri': REQUEST_URI,
      'token-keys': [
        { 'token-type': TYPE.value, 'token-key': Buffer.from(tokenKey).toString('base64url') },
      ],
    }),
  }),
  [`POST ${REQUEST_URI}`]: async (request, body) => {
    if (request.headers['content-type'] !== MediaType.PRIVATE_TOKEN_REQUEST) return { status: 415 };
    const response = await issuer.issue(TokenRequest.deserialize(TYPE, body));
    const headers = { 'Content-Type': MediaType.PRIVATE_TOKEN_RESPONSE };
    return { headers, body: response.serialize() };
  },
  'GET /resource': async (request) => {
    const header = request.headers.authorization;
    if (header !== undefined) {
      const [{ token }] = AuthorizationHeader.parse(TYPE, header);
      const digest = await crypto.subtle.digest('SHA-256', challenge.serialize());
      const answers = Buffer.from(digest).equals(token.authInput.challengeDigest);
      const names = Buffer.from(await issuer.tokenKeyID()).equals(token.authInput.tokenKeyId);
      if (answers && names && (await origin.verify(token, keys.publicKey))) return { body: 'good' };
    }
    const wanted = new WWWAuthenticateHeader(challenge, tokenKey, 60).toString(true);
    return { status: 401, headers: { 'WWW-Authenticate': wanted } };
  },
  'GET /token': async () => {
    const client = new Client(BlindRSAMode.PSS);
    const response = await issuer.issue(await client.createTokenRequest(challenge, tokenKey));
    return { body: new AuthorizationHeader(await client.finalize(response)).toString() };
  },
};

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  // A buffer of its own: the library reads from where the memory under an array begins.
  const body = Uint8Array.from(Buffer.concat(pieces));
  const route = routes[`${request.method} ${request.url}`] ?? (() => ({ status: 404 }));
  const answer = await Promise.resolve(route(request, body)).catch(() => ({ status: 400 }));
  response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
process.stdin.resume().on('end', () => process.exit());
