// SPDX-License-Identifier: Apache-2.0
// The one error type of the browser engines. A code is a stable name for programs, a message a
// sentence for people that names file, field and value and says what to do.

/** Codes of core/base/error.h, by the same names. */
export const CORE_CODES = [
  'invalid_argument', // the caller asked for something impossible (option, range, unknown name)
  'invalid_model', // model files do not mean what they must mean
  'integrity', // size, hash or signature does not match
  'not_found', // file, model or key is not there
  'io', // a read, a write or the network failed
  'out_of_memory', // a large buffer could not be had
  'unsupported', // well-formed, but this browser, build or engine cannot do it
  'device', // the compute device failed or was lost
  'cancelled', // the user stopped it
  'resource_exhausted', // a limit was reached (memory, pages, budget)
  'context_exceeded', // a prompt has more tokens than the context: it never fits
  'queue_full', // too much waits already: the same may work later
  'draining', // the service is leaving and takes nothing new
  'unloaded', // the model was unloaded before the work was done
] as const;

/** Codes that only browser and network know. */
export const WEB_CODES = [
  'quota_exceeded', // the browser gives this site no more storage
  'offline', // the network cannot be reached; what is stored works
  'worker_lost', // the engine's worker ended unexpectedly; it is started again for the next call
  'connection_lost', // the daemon cannot be reached any more
  'unauthorized', // the daemon refuses the token
  'protocol', // the other side says what lamina.v1 does not allow
  'closed', // the engine was disposed
  'timeout', // nothing came in the time that was given
] as const;

export type LaminaErrorCode = (typeof CORE_CODES)[number] | (typeof WEB_CODES)[number];

const KNOWN = new Set<string>([...CORE_CODES, ...WEB_CODES]);
// A second try may well work, without the caller changing anything.
const RECOVERABLE = new Set<string>([
  'queue_full', 'draining', 'offline', 'io', 'device', 'worker_lost', 'connection_lost', 'integrity',
  'timeout',
]);

/** What crosses a worker's border in place of a LaminaError. */
export interface ErrorRecord {
  code: string;
  message: string;
  recoverable: boolean;
}

export class LaminaError extends Error {
  readonly code: LaminaErrorCode;
  /** The same call may work when made again. */
  readonly recoverable: boolean;

  constructor(
    code: LaminaErrorCode,
    message: string,
    options: { recoverable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LaminaError';
    this.code = code;
    this.recoverable = options.recoverable ?? RECOVERABLE.has(code);
  }

  toRecord(): ErrorRecord {
    return { code: this.code, message: this.message, recoverable: this.recoverable };
  }

  static fromRecord(record: ErrorRecord): LaminaError {
    const code = isErrorCode(record.code) ? record.code : 'protocol';
    return new LaminaError(code, record.message, { recoverable: record.recoverable });
  }

  /** Anything thrown, with its own code where it has one of these, else `fallback`. */
  static from(thrown: unknown, fallback: LaminaErrorCode = 'io'): LaminaError {
    if (thrown instanceof LaminaError) return thrown;
    if (!(thrown instanceof Error)) return new LaminaError(fallback, String(thrown));
    const { code: own, recoverable } = thrown as Partial<ErrorRecord>;
    if (typeof own === 'string' && isErrorCode(own)) {
      const more = recoverable === undefined ? {} : { recoverable };
      return new LaminaError(own, thrown.message, { ...more, cause: thrown });
    }
    const code = codeOfDomException(thrown.name) ?? fallback;
    return new LaminaError(code, thrown.message || thrown.name, { cause: thrown });
  }
}

export function isErrorCode(code: string): code is LaminaErrorCode {
  return KNOWN.has(code);
}

function codeOfDomException(name: string): LaminaErrorCode | undefined {
  switch (name) {
    case 'AbortError':
      return 'cancelled';
    case 'QuotaExceededError':
      return 'quota_exceeded';
    case 'NotFoundError':
      return 'not_found';
    case 'NotSupportedError':
      return 'unsupported';
    default:
      return undefined;
  }
}

/** Throws `cancelled` once `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new LaminaError('cancelled', 'the call was aborted');
}
