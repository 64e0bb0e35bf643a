// A Privacy Pass client that isn't ours draws a token and presents it. It knows nothing of sealed requests,
// so the token is good and yet buys nothing; a spoilt one isn't good.
//
//   node client.mjs --demo D/demo.json
//   node client.mjs --dip-service URL --blind-token-service URL --srt SRT
//
// Prints one JSON object. Exit status: 0 all answers were the right ones, 1 some weren't.
import { challenged, draw, presented } from './node/privacy-pass.mjs';
import { assign, fromArguments, refusal } from './node/provider.mjs';

const { urls, srt } = fromArguments();
const challenge = await challenged(urls);
const token = await draw(urls, srt, challenge);
const good = await refusal(await assign(urls, presented(token)));
token.authenticator[200] ^= 1;
const spoilt = await refusal(await assign(urls, presented(token)));

const right =
  good.status === 422 &&
  good.problem === 'sealed-request-missing' &&
  spoilt.status === 401 &&
  spoilt.problem === 'token-refused';
const { issuerName, originInfo } = challenge.challenge;
console.log(JSON.stringify({ issuer: issuerName, origin: originInfo, good, spoilt, right }));
process.exitCode = right ? 0 : 1;
