// SPDX-License-Identifier: Apache-2.0
// Who vouches for a model: the meaning of native/platform/trust.h, by WebCrypto.

import { parseBase64, sha256, type Bytes } from './bytes.ts';
import { StorageError, quote } from './errors.ts';

/** Which signatures are accepted. Keys are texts: `ed25519:` and 44 characters of base64. */
export interface TrustPolicy {
  /** A signature by a key of `known` or `pinned` must be there. Default false. */
  requireSignature?: boolean;
  /** When not empty: a signature by one of these, nothing else. */
  pinned?: readonly string[];
  /** Keys that the user has accepted earlier. */
  known?: readonly string[];
  /**
   * What to do with a manifest that this address once gave and later replaced. Default: refuse
   * where a signature is needed (a signed old manifest is how an attacker brings back old weights), else
   * accept.
   */
  replay?: 'refuse' | 'accept';
}

export interface SignatureFacts {
  /** `unchecked`: there is one, it is not needed, and this browser has no Ed25519. */
  kind: 'unsigned' | 'unchecked' | 'unknown_signer' | 'trusted';
  /** The key's text, unless unsigned. */
  signer?: string;
  /** As `lamina trust list` prints it: the start of the key's SHA-256. */
  fingerprint?: string;
}

const scheme = 'ed25519:';

/** Longer is no signature. */
export const maxSignatureBytes = 4096;

export function needsSignature(policy: TrustPolicy): boolean {
  return policy.requireSignature === true || (policy.pinned?.length ?? 0) > 0;
}

/** The 32 bytes of a key's text, or null. */
export function parsePublicKey(text: string): Bytes | null {
  return text.startsWith(scheme) ? parseBase64(text.slice(scheme.length), 32) : null;
}

/** @throws StorageError signature_malformed naming the text, for keys that can never match. */
export function checkPolicy(policy: TrustPolicy): void {
  for (const key of [...(policy.pinned ?? []), ...(policy.known ?? [])]) {
    if (parsePublicKey(key)) continue;
    throw new StorageError('signature_malformed', 'trust',
      `${quote(key)} is not a public key: one looks like ed25519: and 44 characters of base64`);
  }
}

/**
 * Checks manifest.sig (its text, or null where there is none) against the exact bytes of
 * manifest.json. A signature that does not fit is refused whatever the policy.
 */
export async function checkSignature(
  manifest: Bytes, signature: string | null, policy: TrustPolicy, what: string,
): Promise<SignatureFacts> {
  const needed = needsSignature(policy);
  if (signature === null) {
    if (!needed) return { kind: 'unsigned' };
    throw new StorageError('signature_missing', what,
      'has no manifest.sig, but a signature is required; ask the publisher to sign the model');
  }
  const parsed = parseSignature(signature);
  if (!parsed) {
    throw new StorageError('signature_malformed', what,
      'manifest.sig is malformed; get the model folder anew');
  }
  const fingerprint = await fingerprintOf(parsed.key);
  const signer = { signer: parsed.signer, fingerprint };
  const fits = await verifies(parsed.key, parsed.bytes, manifest);
  if (fits === null) return unsupported(needed, signer, what);
  if (!fits) {
    throw new StorageError('signature_mismatch', what,
      `manifest.json does not match its signature by key ${fingerprint}: it was changed after ` +
      'signing, or the signature belongs to another model');
  }
  const keys = policy.pinned?.length ? policy.pinned : (policy.known ?? []);
  if (keys.includes(parsed.signer)) return { kind: 'trusted', ...signer };
  if (!needed) return { kind: 'unknown_signer', ...signer };
  throw new StorageError('signature_untrusted', what,
    `signed by key ${fingerprint} (${parsed.signer}), which is not ` +
    (policy.pinned?.length ? 'the key given' : 'among the trusted keys'));
}

function unsupported(
  needed: boolean, signer: { signer: string; fingerprint: string }, what: string,
): SignatureFacts {
  if (!needed) return { kind: 'unchecked', ...signer };
  throw new StorageError('signature_unsupported', what,
    'a signature is required, but this browser has no Ed25519 in WebCrypto; update the browser');
}

function parseSignature(text: string): { signer: string; key: Bytes; bytes: Bytes } | null {
  const keyEnd = scheme.length + 44;
  if (text.length !== keyEnd + 90 || text[keyEnd] !== ' ' || !text.endsWith('\n')) return null;
  const signer = text.slice(0, keyEnd);
  const key = parsePublicKey(signer);
  const bytes = parseBase64(text.slice(keyEnd + 1, -1), 64);
  return key && bytes ? { signer, key, bytes } : null;
}

async function fingerprintOf(key: Bytes): Promise<string> {
  const digits = await sha256(key);
  return [0, 4, 8, 12].map((at) => digits.slice(at, at + 4)).join('-');
}

// Null where the browser cannot tell.
async function verifies(key: Bytes, signature: Bytes, bytes: Bytes): Promise<boolean | null> {
  const { subtle } = globalThis.crypto;
  let imported: CryptoKey;
  try {
    imported = await subtle.importKey('raw', key, 'Ed25519', false, ['verify']);
  } catch (error) {
    return (error as Error).name === 'NotSupportedError' ? null : false;
  }
  return subtle.verify('Ed25519', imported, signature, bytes);
}
