// Where a provider's services are, and asking them.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/**
 * What the command line names: `--demo FILE` is the demo.json of `cloakroom demo --keep`; or each by itself.
 * @returns {{urls: object, srt: string, account: string | undefined, code: string | undefined, provider: string | undefined}}
 */
export function fromArguments() {
  const text = { type: 'string' };
  const { values } = parseArgs({
    options: { demo: text, 'dip-service': text, 'blind-token-service': text, srt: text, code: text },
  });
  const demo = values.demo === undefined ? {} : JSON.parse(readFileSync(values.demo, 'utf8'));
  const urls = { ...demo.urls };
  if (values['dip-service']) urls.dip_service = values['dip-service'];
  if (values['blind-token-service']) urls.blind_token_service = values['blind-token-service'];
  const srt = values.srt ?? demo.spare?.srt;
  if (!urls.dip_service || !urls.blind_token_service || !srt) {
    throw new Error('give --demo FILE, or --dip-service URL --blind-token-service URL --srt SRT');
  }
  return { urls, srt, account: demo.spare?.account, code: values.code, provider: demo.provider };
}

/** An answer's JSON; whatever isn't a success is an error. */
export async function json(response) {
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** What a refusal says: its status and the last part of its problem's type (RFC 9457). */
export async function refusal(response) {
  const problem = await response.json();
  return { status: response.status, problem: problem.type.split('/').at(-1) };
}

/** Sends JSON. */
export function post(url, body, headers = {}) {
  const all = { 'Content-Type': 'application/json', ...headers };
  return fetch(url, { method: 'POST', headers: all, body: JSON.stringify(body) });
}

/** Asks the DIP service for an address; a token rides in `authorization`. */
export async function assign(urls, authorization, sealed) {
  const { regions } = await json(await fetch(`${urls.dip_service}/api/v1/regions`));
  const headers = authorization === undefined ? {} : { Authorization: authorization };
  return post(`${urls.dip_service}/api/v1/assign`, { region: regions[0], sealed }, headers);
}
