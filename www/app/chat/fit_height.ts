// SPDX-License-Identifier: Apache-2.0

/** As high as its text, within what the style allows. */
export function fitHeight(field: HTMLTextAreaElement): void {
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + 2}px`;
}
