// The client's side of Privacy Pass, as Cloudflare's library does it.
import './platform.mjs';
import {
  AuthorizationHeader,
  MediaType,
  PRIVATE_TOKEN_ISSUER_DIRECTORY,
  TOKEN_TYPES,
  WWWAuthenticateHeader,
  publicVerif,
  sendTokenRequest,
} from '@cloudflare/privacypass-ts';

import { assign, json } from './provider.mjs';

/** What the DIP service asks for when no token is shown: the challenge, and the key that it names. */
export async function challenged(urls) {
  const response = await assign(urls);
  if (response.status !== 401) throw new Error(`${response.status} instead of 401`);
  const all = WWWAuthenticateHeader.parse(response.headers.get('www-authenticate'));
  const ours = all.filter(({ challenge }) => challenge.tokenType === TOKEN_TYPES.BLIND_RSA.value);
  if (ours.length !== 1) throw new Error(`${ours.length} challenges instead of one`);
  return ours[0];
}

/** Where the issuer of `tokenKey` takes requests, by its directory (RFC 9578 section 4). */
export async function requestUrl(urls, tokenKey) {
  const at = new URL(PRIVATE_TOKEN_ISSUER_DIRECTORY, urls.blind_token_service);
  const response = await fetch(at);
  const kind = response.headers.get('content-type');
  if (kind !== MediaType.PRIVATE_TOKEN_ISSUER_DIRECTORY) throw new Error(`a directory as ${kind}`);
  const directory = await json(response);
  const isIt = (key) =>
    key['token-type'] === TOKEN_TYPES.BLIND_RSA.value &&
    Buffer.from(key['token-key'], 'base64url').equals(tokenKey);
  if (!directory['token-keys'].some(isIt)) throw new Error('the directory lacks the key');
  return new URL(directory['issuer-request-uri'], at);
}

/**
 * A token for the challenge, drawn with a subscription receipt. `blinding` may have the request made in its own way, `send`
 * may look at the response.
 */
export async function draw(urls, srt, { challenge, tokenKey }, blinding, send = sendTokenRequest) {
  const url = await requestUrl(urls, tokenKey);
  const client = new publicVerif.Client(publicVerif.BlindRSAMode.PSS);
  const make = () => client.createTokenRequest(challenge, tokenKey);
  const request = await (blinding === undefined ? make() : blinding(make));
  const headers = new Headers({ Authorization: `Bearer ${srt}` });
  const response = await send(request.serialize(), url, headers);
  return client.finalize(client.deserializeTokenResponse(response));
}

/** The library's way of sending a token request, but for the receipt of issuance, which `keep` is given. */
export function keepingReceipt(keep) {
  return async (request, url, headers) => {
    headers.set('Content-Type', MediaType.PRIVATE_TOKEN_REQUEST);
    const response = await fetch(url, { method: 'POST', headers, body: request });
    if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`);
    keep(response.headers.get('cloakroom-issuance-receipt'));
    return new Uint8Array(await response.arrayBuffer());
  };
}

/** The `Authorization` header that presents a token. */
export function presented(token) {
  return new AuthorizationHeader(token).toString();
}
