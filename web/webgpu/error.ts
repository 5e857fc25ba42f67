// SPDX-License-Identifier: Apache-2.0
// The one place of this room that says where its errors come from.
export { LaminaError } from '../engine/errors.ts';
