// SPDX-License-Identifier: Apache-2.0
// lamina.v1, the messages of the WebSocket: what a client may say, parsed strictly, and what it is
// told. protocol/lamina.v1.schema.json describes every one; tests hold the two together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "native/daemon/service.h"

namespace lamina::daemon {

inline constexpr std::string_view kProtocolName = "lamina.v1";

// What a message may hold; hello tells some of it.
struct ProtocolLimits {
  static constexpr size_t kIdBytes = 64;
  static constexpr size_t kNameBytes = 256;  // of a model, a backend, a client
  static constexpr size_t kMessages = 10000;
  static constexpr size_t kPromptIds = 100000;
  static constexpr size_t kStops = 16;
  static constexpr size_t kStopBytes = 256;
  static constexpr size_t kBiases = 4096;
  static constexpr size_t kTopLogprobs = 20;
  static constexpr size_t kRequests = 64;  // of one session that run or wait
};

// Stable names of errors. What the engine refuses has the names of core/base/error.h's codes.
namespace error_code {
inline constexpr const char* kBadJson = "bad_json";  // not JSON, or not within its limits
inline constexpr const char* kUnknownType = "unknown_type";
inline constexpr const char* kUnknownField = "unknown_field";
inline constexpr const char* kMissingField = "missing_field";
inline constexpr const char* kBadField = "bad_field";  // of the wrong kind, or a wrong word
inline constexpr const char* kOutOfRange = "out_of_range";
inline constexpr const char* kDuplicateId = "duplicate_id";
inline constexpr const char* kUnknownId = "unknown_id";
inline constexpr const char* kOrder = "order";  // hello or resume comes first, and once
inline constexpr const char* kUnknownSession = "unknown_session";
inline constexpr const char* kGone = "gone";             // frames no longer kept
inline constexpr const char* kTakenOver = "taken_over";  // another connection has the session
inline constexpr const char* kTooMany = "too_many";
}  // namespace error_code

struct ProtocolError {
  std::string code;
  std::string message;
  std::string field;  // empty: the message as a whole
  std::string id;     // of the message, where it could be read
};

struct HelloMessage {
  std::string client;
};
struct ResumeMessage {
  std::string session;
  std::map<std::string, int64_t> last_seq;  // of each request, the last frame that arrived
};
struct GenerateMessage {
  std::string id;
  GenerateRequest request;
  bool has_seed = false;  // else the daemon draws one
};
struct CancelMessage {
  std::string id;
};
struct LoadMessage {
  std::string id, model;
};
struct UnloadMessage {
  std::string id, model;
};
struct SwitchBackendMessage {
  std::string id, model, backend;  // model empty: the default one
};
struct StatusMessage {
  bool subscribe = true;
  double interval = 1.0;  // seconds
};

using ClientMessage = std::variant<HelloMessage, ResumeMessage, GenerateMessage, CancelMessage,
                                   LoadMessage, UnloadMessage, SwitchBackendMessage, StatusMessage>;

using ParsedMessage = std::variant<ClientMessage, ProtocolError>;
ParsedMessage parse_client_message(std::string_view text);

// Seeds are whole numbers that JavaScript holds exactly.
inline constexpr uint64_t kMaxSeed = (uint64_t{1} << 53) - 1;

// --- frames to the client, as JSON text ---

// A model that may be loaded, and its state when it is.
struct ModelEntry {
  std::string name;
  bool is_default = false;
  std::optional<ModelStatus> status;
};

struct HelloFacts {
  std::string version, session;
  double grace_seconds = 0.0;
  size_t message_bytes = 0, buffer_bytes = 0;
  std::vector<ModelEntry> models;
};
std::string hello_frame(const HelloFacts& facts);

struct ResumedRequest {
  std::string id;
  int64_t seq = 0;  // of its last frame so far
  bool finished = false;
};
std::string resumed_frame(const std::string& session, std::span<const ResumedRequest> requests);

// Frames of a request carry its id and a number that counts the request's frames from 1.
struct FrameOf {
  std::string_view id;
  int64_t seq;
};
std::string started_frame(FrameOf of, const std::string& model, const Usage& usage, uint64_t seed);
// Several kToken events become one frame. REQUIRES: not empty.
std::string token_frame(FrameOf of, std::span<const GenerationEvent* const> tokens);
std::string notice_frame(FrameOf of, const std::string& text);
std::string done_frame(FrameOf of, FinishReason finish, const Usage& usage, const Timings& timings);
std::string failed_frame(FrameOf of, std::string_view code, const std::string& message);
std::string progress_frame(FrameOf of, const LoadProgress& progress);
std::string loaded_frame(FrameOf of, const ModelEntry& model);
std::string unloaded_frame(FrameOf of, const std::string& model);
std::string switched_frame(FrameOf of, const std::string& model, const std::string& backend);

// An error that ends nothing: a message that was refused.
std::string error_frame(const ProtocolError& error);

struct StatusFacts {
  std::vector<ModelStatus> models;
  size_t connections = 0, sessions = 0;
  uint64_t resident_bytes = 0, available_bytes = 0;
  double uptime = 0.0;
  bool draining = false;
};
std::string status_frame(const StatusFacts& facts);

}  // namespace lamina::daemon
