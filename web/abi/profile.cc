// SPDX-License-Identifier: Apache-2.0
// What the ops of one token cost here.
#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

std::string describe(const cpu::Profile& profile, uint32_t steps) {
  JsonWriter json;
  json.begin_array();
  for (size_t kind = 0; kind < kOpKinds; ++kind) {
    const cpu::Profile::Entry& e = profile.entries()[kind];
    if (e.calls == 0) continue;
    const auto calls = static_cast<double>(e.calls);
    json.begin_object().member("label", op_name(static_cast<OpKind>(kind)));
    json.member("count", static_cast<int64_t>(e.calls / steps));
    json.member("microseconds", 1e6 * e.seconds / calls);
    json.member("bytes", static_cast<int64_t>(e.weight_bytes / e.calls));
    json.end_object();
  }
  return json.end_array().take();
}

// The row of `batch`, again and again: it leaves the same keys and values each time.
Result<std::string> measure(CpuBackend& cpu, const Batch& batch, uint32_t steps) {
  for (uint32_t i = 0; i < steps; ++i) {
    LAMINA_TRY(cpu.submit(batch));
    LAMINA_TRY(cpu.read());
  }
  return describe(cpu.profile(), steps);
}

Result<std::string> profile(Session& s, uint32_t steps) {
  Engine& e = *s.engine;
  if (e.remote) return make_error(Code::kUnsupported, "a remote engine computes nothing itself");
  if (steps == 0) return make_error(Code::kInvalidArgument, "a profile takes a step at least");
  LAMINA_TRY(has_weights(e));
  Batch batch;
  LAMINA_ASSIGN(const int32_t rows, s.session.next(batch, 1));
  if (rows == 0) return make_error(Code::kInvalidArgument, "the session has no rows to compute");
  e.cpu->set_profile(true);
  auto text = measure(*e.cpu, batch, steps);
  e.cpu->set_profile(false);
  return text;
}

}  // namespace

}  // namespace lamina::abi

using namespace lamina::abi;

int32_t lamina_session_profile(LaminaSession* session, uint32_t steps) {
  const auto text = profile(*session, steps);
  return text ? give_text(*text) : fail(text.error(), 0);
}
