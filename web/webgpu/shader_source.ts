// SPDX-License-Identifier: Apache-2.0
// A tiny preprocessor for shaders/*.wgsl: lines that begin with //! are
//   //!include "file"    the file's text, once a module
//   //!if NAME | !NAME   ... //!else ... //!end
//   //!each NAME COUNT   ... //!end       COUNT times, $NAME being 0, 1, ...; COUNT: a constant, A*B or A/B
// and constants are put in front. `enable` and `diagnostic` lines move to the top, as WGSL wants them.

/** Floats are marked, because 1 is a u32 to a shader and 1.0 is not. */
export interface ShaderFloat {
  readonly f32: number;
}
/** Numbers and floats become constants; true and false are for //!if. */
export type ShaderConstants = Readonly<Record<string, number | boolean | ShaderFloat>>;

function constantLines(constants: ShaderConstants): string[] {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(constants)) {
    if (typeof value === 'number') lines.push(`const ${name} = ${value}u;`);
    else if (typeof value === 'object') lines.push(`const ${name} = ${floatText(value.f32)};`);
  }
  return lines;
}

function floatText(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}

const kDirective = /^\/\/!(\w+)\s*(.*?)\s*$/;

// The line that ends the block which begins at `at`.
function endOf(name: string, lines: readonly string[], at: number): number {
  for (let i = at, open = 0; i < lines.length; ++i) {
    const verb = kDirective.exec(lines[i]!)?.[1];
    if (verb === 'if' || verb === 'each') ++open;
    if (verb === 'end' && --open === 0) return i;
  }
  throw new Error(`${name}: an each without its end`);
}

class Expansion {
  readonly top: string[] = [];
  readonly body: string[] = [];
  readonly #files: Readonly<Record<string, string>>;
  readonly #constants: ShaderConstants;
  readonly #included = new Set<string>();

  constructor(files: Readonly<Record<string, string>>, constants: ShaderConstants) {
    this.#files = files;
    this.#constants = constants;
  }

  file(name: string): void {
    if (this.#included.has(name)) return;
    this.#included.add(name);
    const text = this.#files[name];
    if (text === undefined) throw new Error(`no shader file '${name}'`);
    this.#lines(name, text.split('\n'));
  }

  #lines(name: string, lines: readonly string[]): void {
    const taken: boolean[] = [];  // of the open ifs
    for (let at = 0; at < lines.length; ++at) {
      const directive = kDirective.exec(lines[at]!);
      if (directive?.[1] === 'each') {
        const end = endOf(name, lines, at);
        if (!taken.includes(false)) this.#each(name, directive[2]!, lines.slice(at + 1, end));
        at = end;
      } else if (directive) {
        this.#directive(name, directive[1]!, directive[2]!, taken);
      } else if (!taken.includes(false)) {
        this.#line(lines[at]!);
      }
    }
    if (taken.length > 0) throw new Error(`${name}: an if without its end`);
  }

  #each(name: string, rest: string, body: readonly string[]): void {
    const [variable, count] = rest.split(/\s+/);
    const [, a, sign, b] = /^(\w+)(?:([*/])(\w+))?$/.exec(count ?? '') ?? [];
    const number = (word: string) => Number(this.#constants[word] ?? word);
    const n = sign === '*' ? number(a!) * number(b!) : sign === '/' ? number(a!) / number(b!) : number(a ?? '');
    if (!Number.isInteger(n)) throw new Error(`${name}: //!each ${rest} is not a number of times`);
    for (let i = 0; i < n; ++i) this.#lines(name, body.map((line) => line.replaceAll(`$${variable}`, String(i))));
  }

  #directive(name: string, verb: string, rest: string, taken: boolean[]): void {
    if (verb === 'if') {
      const wanted = !rest.startsWith('!');
      taken.push((this.#constants[rest.replace('!', '')] === true) === wanted);
    } else if (verb === 'else' && taken.length > 0) {
      taken.push(!taken.pop());
    } else if (verb === 'end' && taken.length > 0) {
      taken.pop();
    } else if (verb === 'include') {
      if (!taken.includes(false)) this.file(`include/${rest.replaceAll('"', '')}`);
    } else {
      throw new Error(`${name}: unexpected //!${verb}`);
    }
  }

  #line(line: string): void {
    if (/^(enable|diagnostic|requires)\b/.test(line)) this.top.push(line);
    else if (!/^\s*\/\//.test(line)) this.body.push(line);
  }
}

/** The WGSL text of shaders/`stem`.wgsl with these constants. `files`: by path below shaders/. */
export function shaderSource(
  files: Readonly<Record<string, string>>, stem: string, constants: ShaderConstants,
): string {
  const expansion = new Expansion(files, constants);
  expansion.file(`${stem}.wgsl`);
  return [...expansion.top, ...constantLines(constants), ...expansion.body].join('\n');
}
