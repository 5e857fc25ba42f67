// SPDX-License-Identifier: Apache-2.0
import { makeApi, perform } from './harness_api.mjs';

const api = makeApi();
api.tell = (event) => postMessage({ event });
onmessage = async ({ data: { id, text, argument } }) => {
  postMessage({ id, answer: await perform(api, text, argument) });
};
