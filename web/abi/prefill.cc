// SPDX-License-Identifier: Apache-2.0
// A prompt's layers behind the download: each over all of the prompt's rows, before the next one's
// weights are there.
#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

Result<Prefill> begin(Session& s) {
  Prefill prefill;
  const EngineOptions& o = s.engine->engine->options();
  const auto hidden = static_cast<size_t>(s.session.config().hidden_size);
  for (Batch batch; s.session.n_pending() > 0; batch.clear()) {
    LAMINA_ASSIGN(const int32_t rows, s.session.next(batch, o.max_rows));
    if (rows == 0) {
      return make_error(Code::kInvalidArgument, "the session has no rows to compute");
    }
    prefill.chunks.push_back({batch.rows, std::vector<float>(batch.rows.size() * hidden)});
  }
  return prefill;
}

// Layers that can be computed; the one after the last wants everything.
int32_t ready_layers(const Session& s) {
  const ShardStore& shards = s.engine->model->shards;
  return shards.ready_layers() + (shards.complete() ? 1 : 0);
}

// The part that is next. True when it was the last.
Result<bool> compute(Session& s) {
  Prefill& p = *s.prefill;
  Prefill::Chunk& chunk = p.chunks[p.chunk];
  const Batch batch{chunk.rows, {{s.session.pages()}}};
  LAMINA_TRY(s.engine->cpu->submit_layers(batch, p.layer, p.layer + 1, chunk.hidden));
  if (p.layer == s.session.config().n_layers) return true;
  if (++p.chunk < p.chunks.size()) return false;
  ++p.layer;
  // After the layers, only the last row is wanted.
  p.chunk = p.layer == s.session.config().n_layers ? p.chunks.size() - 1 : 0;
  return false;
}

Result<int32_t> advance(Session& s) {
  if (s.engine->remote) {
    return make_error(Code::kUnsupported, "a remote engine computes nothing itself");
  }
  if (!s.prefill) {
    LAMINA_ASSIGN(s.prefill, begin(s));
  }
  if (s.prefill->chunks.empty()) {
    return make_error(Code::kInvalidArgument, "the session has no rows to compute");
  }
  if (s.prefill->layer >= ready_layers(s)) return 0;
  LAMINA_ASSIGN(const bool last, compute(s));
  if (!last) return 1;
  LAMINA_ASSIGN(const StepOutput output, s.engine->cpu->read());
  s.prefill.reset();
  add_event(0, s, s.session.accept(output.logits));
  return 2;
}

}  // namespace

void abandon(Session& session) {
  if (!session.prefill) return;
  session.prefill.reset();
  session.session.undo_next();
  session.session.drop_kv();
}

}  // namespace lamina::abi

using namespace lamina::abi;

int32_t lamina_session_advance(LaminaSession* session) {
  clear_events();
  auto advanced = advance(*session);
  if (advanced) return *advanced;
  abandon(*session);
  return fail(advanced.error(), -1);
}
