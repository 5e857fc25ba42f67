// SPDX-License-Identifier: Apache-2.0

interface Waiter<T> {
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
}

/** Values pushed at one end come out of an async iteration at the other. One reader. */
export class AsyncQueue<T> implements AsyncIterableIterator<T> {
  private readonly values: T[] = [];
  private waiting: Waiter<IteratorResult<T>> | undefined;
  private over = false;
  private error: unknown;
  private readonly onReturn: () => void;

  /** `onReturn` is told when the reader leaves before the end. */
  constructor(onReturn: () => void = () => {}) {
    this.onReturn = onReturn;
  }

  push(value: T): void {
    if (this.over) return;
    if (this.waiting) {
      this.waiting.resolve({ value, done: false });
      this.waiting = undefined;
    } else {
      this.values.push(value);
    }
  }

  /** What was pushed is still read first. */
  end(): void {
    this.over = true;
    this.waiting?.resolve({ value: undefined, done: true });
    this.waiting = undefined;
  }

  fail(error: unknown): void {
    if (this.over) return;
    this.over = true;
    if (this.waiting) {
      this.waiting.reject(error);
      this.waiting = undefined;
    } else {
      this.error = error;
    }
  }

  next(): Promise<IteratorResult<T>> {
    if (this.values.length > 0) {
      return Promise.resolve({ value: this.values.shift() as T, done: false });
    }
    if (this.error !== undefined) {
      const error = this.error;
      this.error = undefined;
      return Promise.reject(error);
    }
    if (this.over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<T>> {
    if (!this.over) {
      this.end();
      this.onReturn();
    }
    this.values.length = 0;
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
