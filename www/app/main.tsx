// SPDX-License-Identifier: Apache-2.0
// Puts the page together.

import './style/index.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { followAddress, parseRoute, route } from './router.ts';
import { takeTokenFromAddress } from './state/settings.ts';
import { allowOwnScripts } from './state/trusted_types.ts';
import { loadKnownModel } from './state/engine.ts';
import { applyTheme } from './state/theme.ts';
import { register } from './sw_client.ts';

takeTokenFromAddress();
route.value = parseRoute(location.hash);
allowOwnScripts();
applyTheme();
followAddress();
const root = document.getElementById('app');
if (root) render(<App />, root);
loadKnownModel();
void register();
