// SPDX-License-Identifier: Apache-2.0
// The flat C interface of the WebAssembly module: what module.ts calls. Pointers are addresses in
// the module's memory and may change hands only as said here.
//
// A call that can fail returns null, -1 or 0 as said, and lamina_error_* tell why until the next
// call. Texts and arrays that a call gives lie in the module's result buffers, valid until the next
// call. JSON goes in and out in UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__wasm__)
#define LAMINA_EXPORT(name) __attribute__((export_name(#name))) name
#else
#define LAMINA_EXPORT(name) name
#endif

namespace lamina::abi {
struct Model;
struct Engine;
struct Session;

// Rows to compute, in arrays of `rows`; valid until the next call.
struct BatchView {
  int32_t rows, sequences;
  const int32_t* tokens;
  const int32_t* positions;    // for RoPE
  const int32_t* kv_indices;   // in the sequence's block table
  const int32_t* sequence;     // per row, 0 to sequences - 1
  const uint8_t* wants_logits;
  const int32_t* block_table;  // [sequences][table_stride] page numbers
  int32_t table_stride;
};

struct LogprobView {
  int32_t token;
  float logprob;      // natural, at least -9999
  const char* bytes;  // the token's text, perhaps part of a code point
  uint32_t n_bytes;
};

struct EventView {
  int32_t session;  // index into the sessions of the call
  int32_t token;    // -1: none, text that was held back
  int32_t finish;   // a FinishReason
  const char* text;
  uint32_t text_bytes;
  const LogprobView* logprobs;  // the token's, then those of the likeliest; where they were asked for
  uint32_t n_logprobs;
};
}  // namespace lamina::abi

extern "C" {

using LaminaModel = lamina::abi::Model;
using LaminaEngine = lamina::abi::Engine;
using LaminaSession = lamina::abi::Session;

// --- Memory, errors and results.
void* LAMINA_EXPORT(lamina_alloc)(uint32_t bytes);  // 64-byte aligned; null when there is none left
void LAMINA_EXPORT(lamina_free)(void* memory);
const char* LAMINA_EXPORT(lamina_error_code)();     // "invalid_model", zero-terminated
const char* LAMINA_EXPORT(lamina_error_message)();  // zero-terminated
const char* LAMINA_EXPORT(lamina_text)();
uint32_t LAMINA_EXPORT(lamina_text_bytes)();
const int32_t* LAMINA_EXPORT(lamina_ints)();
uint32_t LAMINA_EXPORT(lamina_ints_size)();
const float* LAMINA_EXPORT(lamina_floats)();
uint32_t LAMINA_EXPORT(lamina_floats_size)();
const uint16_t* LAMINA_EXPORT(lamina_halves)();
uint32_t LAMINA_EXPORT(lamina_halves_size)();
const lamina::abi::BatchView* LAMINA_EXPORT(lamina_batch)();
const lamina::abi::EventView* LAMINA_EXPORT(lamina_events)();
uint32_t LAMINA_EXPORT(lamina_events_size)();

// --- The module.
const char* LAMINA_EXPORT(lamina_isa)();         // "wasm_relaxed", zero-terminated
int32_t LAMINA_EXPORT(lamina_self_test)();       // every kernel on this machine; 0 names the wrong one
int32_t LAMINA_EXPORT(lamina_workers)();         // that have entered
void LAMINA_EXPORT(lamina_worker_run)(int32_t worker);  // a worker's life, from 1; see thread.js
void LAMINA_EXPORT(lamina_dismiss_workers)();    // no engine may step after it

// --- A model. It is described as JSON: {name, config, chatTemplate, tokenizer, files, shards}.
LaminaModel* LAMINA_EXPORT(lamina_model_open)(const char* manifest, uint32_t manifest_bytes,
                                              const char* tokenizer, uint32_t tokenizer_bytes);
void LAMINA_EXPORT(lamina_model_close)(LaminaModel* model);
int32_t LAMINA_EXPORT(lamina_model_describe)(LaminaModel* model);
int32_t LAMINA_EXPORT(lamina_model_plan)(LaminaModel* model, const char* options, uint32_t bytes);
int32_t LAMINA_EXPORT(lamina_model_graph)(LaminaModel* model, int32_t context);
// Where the shard's bytes, verified, are to be written; the same until lamina_model_shard_done,
// which counts the shard as there. Null: no memory, or no such shard.
void* LAMINA_EXPORT(lamina_model_shard)(LaminaModel* model, uint32_t index);
int32_t LAMINA_EXPORT(lamina_model_shard_done)(LaminaModel* model, uint32_t index);
// Ids into lamina_ints. Flags: 1 the post-processor's additions, 2 special tokens are parsed.
int32_t LAMINA_EXPORT(lamina_model_tokenize)(LaminaModel* model, const char* text, uint32_t bytes,
                                             int32_t flags);
int32_t LAMINA_EXPORT(lamina_model_detokenize)(LaminaModel* model, const int32_t* ids, uint32_t n,
                                               int32_t skip_special);
// Of {messages: [{role, content}], addGenerationPrompt, date: {year, month, …}}.
int32_t LAMINA_EXPORT(lamina_model_chat)(LaminaModel* model, const char* chat, uint32_t bytes);

// --- Engines. Options: {context, threads, kvDtype, sequences, maxRows, maxLogitRows,
// cachePositions}. A CPU engine steps when all shards are done, and until then computes prompts by
// lamina_session_advance; a remote one computes nothing itself.
LaminaEngine* LAMINA_EXPORT(lamina_engine_cpu)(LaminaModel* model, const char* options,
                                               uint32_t bytes);
LaminaEngine* LAMINA_EXPORT(lamina_engine_remote)(LaminaModel* model, const char* options,
                                                  uint32_t bytes);
void LAMINA_EXPORT(lamina_engine_close)(LaminaEngine* engine);
int32_t LAMINA_EXPORT(lamina_engine_describe)(LaminaEngine* engine);
// Logits of every id into lamina_floats, [n][vocab]; CPU only.
int32_t LAMINA_EXPORT(lamina_engine_forward)(LaminaEngine* engine, const int32_t* ids, uint32_t n);
// One step for all; events in lamina_events. -1: error, 0: nothing to do, 1: done. CPU only.
int32_t LAMINA_EXPORT(lamina_engine_step)(LaminaEngine* engine, LaminaSession* const* sessions,
                                          uint32_t n, int32_t prompt_rows);
// A session's prompt in parts, while shards arrive: a layer of some of its rows. -1: error, 0: the
// next layer's shards are missing, 1: computed, 2: and it was the last, with its event in lamina_events.
// Whatever else is asked of the session before that forgets the parts. CPU only.
int32_t LAMINA_EXPORT(lamina_session_advance)(LaminaSession* session);
// What the session's next row took, computed so often: [{label, count (of a step), microseconds, bytes
// (of weights)}] of each kind of op, as this thread saw it. The session is to be closed after it. CPU only.
int32_t LAMINA_EXPORT(lamina_session_profile)(LaminaSession* session, uint32_t steps);
// The next rows of all, into lamina_batch. -1: error, 0: nothing to do, 1: rows.
int32_t LAMINA_EXPORT(lamina_engine_next)(LaminaEngine* engine, LaminaSession* const* sessions,
                                          uint32_t n, int32_t max_rows);

// --- Sessions. At the limit: 0 stop, 1 slide.
LaminaSession* LAMINA_EXPORT(lamina_session_open)(LaminaEngine* engine, int32_t at_limit);
void LAMINA_EXPORT(lamina_session_close)(LaminaSession* session);
// Keeps what is cached of the prompt's beginning, from this session or an earlier one of its engine.
int32_t LAMINA_EXPORT(lamina_session_prompt)(LaminaSession* session, const int32_t* ids, uint32_t n,
                                             const char* options, uint32_t bytes);
int32_t LAMINA_EXPORT(lamina_session_describe)(LaminaSession* session);
int32_t LAMINA_EXPORT(lamina_session_tokens)(LaminaSession* session);  // prompt and answer
int32_t LAMINA_EXPORT(lamina_session_pages)(LaminaSession* session);   // its block table
int32_t LAMINA_EXPORT(lamina_session_cancel)(LaminaSession* session);
// After lamina_engine_next: what the rows gave, or that they were not computed after all.
int32_t LAMINA_EXPORT(lamina_session_accept)(LaminaSession* session, const float* logits);
int32_t LAMINA_EXPORT(lamina_session_accept_tokens)(LaminaSession* session, const int32_t* tokens,
                                                    uint32_t n);
void LAMINA_EXPORT(lamina_session_undo)(LaminaSession* session);
// How many tokens a device may decode in one go; lamina_batch has the pages for them.
int32_t LAMINA_EXPORT(lamina_session_look_ahead)(LaminaSession* session, int32_t most);
// How the device chooses the next n tokens: JSON, with random numbers in lamina_floats. 0: it can't.
int32_t LAMINA_EXPORT(lamina_session_choice)(LaminaSession* session, uint32_t n);
// Slide work owed before the next rows: 1 with {from, to} pages in lamina_ints, 0 none. The page's
// KV is turned in place (canonical f16 of one page).
int32_t LAMINA_EXPORT(lamina_session_slide)(LaminaSession* session);
int32_t LAMINA_EXPORT(lamina_session_turn)(LaminaSession* session, uint16_t* page, uint32_t n);

// --- Moving. KV is canonical f16, [layer][k|v][kv_head][position][head_dim].
int32_t LAMINA_EXPORT(lamina_session_export_kv)(LaminaSession* session);  // into lamina_halves
// What a session is but its KV, as JSON, and a session from it with nothing cached.
int32_t LAMINA_EXPORT(lamina_session_save)(LaminaSession* session);
LaminaSession* LAMINA_EXPORT(lamina_session_restore)(LaminaEngine* engine, const char* saved,
                                                     uint32_t bytes);
// Binds a session to an engine of the same model, this one or another, with the KV of the first
// `positions` of what it had cached, here or where it was saved. Returns how many it keeps, or -1. A remote engine takes no KV:
// the session's pages are to be filled.
int32_t LAMINA_EXPORT(lamina_session_move)(LaminaSession* session, LaminaEngine* engine,
                                           const uint16_t* kv, uint32_t n, int32_t positions);
}
