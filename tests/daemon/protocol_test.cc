// SPDX-License-Identifier: Apache-2.0
// The parser of lamina.v1 against its schema: what the schema gives as examples is taken, what it
// forbids is refused with the right code and field.
#include <gtest/gtest.h>

#include <set>

#include "core/base/json.h"
#include "native/daemon/protocol.h"
#include "native/platform/files.h"
#include "tests/daemon/fakes.h"

namespace lamina::daemon {
namespace {

std::unique_ptr<JsonDocument> schema() {
  auto text = read_file(LAMINA_SOURCE_DIR "/protocol/lamina.v1.schema.json", 1 << 20);
  auto document = JsonDocument::parse(text.value(), "schema");
  return std::move(document).value();
}

void write(JsonWriter& json, JsonValue v) {
  switch (v.kind()) {
    case JsonKind::kArray:
      json.begin_array();
      for (JsonValue c = v.first_child(); !c.is_missing(); c = c.next_sibling()) write(json, c);
      json.end_array();
      return;
    case JsonKind::kObject:
      json.begin_object();
      for (JsonValue c = v.first_child(); !c.is_missing(); c = c.next_sibling()) {
        json.key(c.key());
        write(json, c);
      }
      json.end_object();
      return;
    case JsonKind::kString:
      json.value(v.as_string());
      return;
    case JsonKind::kInt:
      json.value(v.as_int());
      return;
    case JsonKind::kDouble:
      json.value(v.as_double());
      return;
    case JsonKind::kBool:
      json.value(v.as_bool());
      return;
    default:
      json.null();
  }
}

std::string text_of(JsonValue v) {
  JsonWriter json;
  write(json, v);
  return json.take();
}

// `object` with `name` set to the JSON text `value`; an empty one leaves it out.
std::string with(JsonValue object, std::string_view name, const std::string& value) {
  JsonWriter json;
  json.begin_object();
  for (JsonValue c = object.first_child(); !c.is_missing(); c = c.next_sibling()) {
    if (c.key() == name) continue;
    json.key(c.key());
    write(json, c);
  }
  if (!value.empty()) json.key(name).raw(value);
  return json.end_object().take();
}

ProtocolError refusal(const std::string& text) {
  ParsedMessage parsed = parse_client_message(text);
  if (auto* error = std::get_if<ProtocolError>(&parsed)) return *error;
  return {"taken", text, "", ""};
}

std::string code(const std::string& text) {
  return refusal(text).code;
}

// The messages that a client may send, as the schema lists them.
template <typename Do>
void for_each_message(Do each) {
  const auto document = schema();
  const JsonValue defs = document->root().find("$defs");
  const JsonValue list = defs.find("client").find("oneOf");
  ASSERT_EQ(list.size(), std::variant_size_v<ClientMessage>);
  for (JsonValue ref = list.first_child(); !ref.is_missing(); ref = ref.next_sibling()) {
    const std::string path(ref.find("$ref").as_string());
    const JsonValue message = defs.find(path.substr(path.rfind('/') + 1));
    ASSERT_TRUE(message.is_object()) << path;
    each(defs, message);
  }
}

TEST(Protocol, TakesEveryExampleOfTheSchema) {
  std::set<size_t> kinds;
  for_each_message([&](JsonValue, JsonValue message) {
    const JsonValue examples = message.find("examples");
    ASSERT_GT(examples.size(), 0u);
    for (JsonValue e = examples.first_child(); !e.is_missing(); e = e.next_sibling()) {
      const ParsedMessage parsed = parse_client_message(text_of(e));
      ASSERT_EQ(parsed.index(), 0u) << text_of(e) << ": " << refusal(text_of(e)).message;
      kinds.insert(std::get<ClientMessage>(parsed).index());
    }
  });
  EXPECT_EQ(kinds.size(), std::variant_size_v<ClientMessage>);
}

TEST(Protocol, RefusesUnknownFieldsAndMissingOnes) {
  for_each_message([](JsonValue, JsonValue message) {
    const JsonValue example = message.find("examples").first_child();
    const ProtocolError unknown = refusal(with(example, "surplus", "1"));
    EXPECT_EQ(unknown.code, "unknown_field") << text_of(example);
    EXPECT_EQ(unknown.field, "surplus");
    const JsonValue required = message.find("required");
    for (JsonValue r = required.first_child(); !r.is_missing(); r = r.next_sibling()) {
      const ProtocolError missing = refusal(with(example, r.as_string(), ""));
      EXPECT_EQ(missing.code, "missing_field") << r.as_string();
      EXPECT_EQ(missing.field, r.as_string());
    }
  });
}

// A value of another kind than the property's, and values just outside its range.
std::vector<std::pair<std::string, std::string>> bad_values(JsonValue p) {
  std::vector<std::pair<std::string, std::string>> bad;  // value, code
  const std::string type =
      p.find("type").is_string() ? std::string(p.find("type").as_string()) : "";
  if (type.empty()) return bad;
  if (type != "string") bad.emplace_back("\"x\"", "bad_field");
  if (type == "string") bad.emplace_back("1", "bad_field");
  bad.emplace_back("null", "bad_field");
  if (type == "integer") bad.emplace_back("1.5", "bad_field");
  if (type == "integer" || type == "number") {
    const JsonValue low = p.find("minimum"), high = p.find("maximum");
    if (low.is_number()) bad.emplace_back(std::to_string(low.as_double() - 1), "out_of_range");
    if (high.is_number()) bad.emplace_back(std::to_string(high.as_double() + 1), "out_of_range");
    bad.emplace_back("1e300", "out_of_range");
  }
  if (type == "string" && p.find("maxLength").is_int()) {
    const auto most = static_cast<size_t>(p.find("maxLength").as_int());
    bad.emplace_back("\"" + std::string(most + 1, 'x') + "\"", "out_of_range");
  }
  if (p.find("minLength").is_int() && p.find("minLength").as_int() > 0) {
    bad.emplace_back("\"\"", "out_of_range");
  }
  return bad;
}

JsonValue resolved(JsonValue defs, JsonValue property) {
  const JsonValue ref = property.find("$ref");
  if (!ref.is_string()) return property;
  const std::string path(ref.as_string());
  return defs.find(path.substr(path.rfind('/') + 1));
}

TEST(Protocol, RefusesWhatTheSchemaForbids) {
  int tried = 0;
  for_each_message([&](JsonValue defs, JsonValue message) {
    const JsonValue example = message.find("examples").first_child();
    const JsonValue properties = message.find("properties");
    for (JsonValue p = properties.first_child(); !p.is_missing(); p = p.next_sibling()) {
      for (const auto& [value, expected] : bad_values(resolved(defs, p))) {
        const ProtocolError error = refusal(with(example, p.key(), value));
        EXPECT_EQ(error.code, expected) << p.key() << " = " << value << ": " << error.message;
        EXPECT_EQ(error.field, p.key());
        ++tried;
      }
    }
  });
  const auto document = schema();
  const JsonValue sampling = document->root().find("$defs").find("sampling").find("properties");
  for (JsonValue p = sampling.first_child(); !p.is_missing(); p = p.next_sibling()) {
    for (const auto& [value, expected] : bad_values(p)) {
      const std::string text = R"({"type":"generate","id":"a","prompt":"x","sampling":{")" +
                               std::string(p.key()) + "\":" + value + "}}";
      const ProtocolError error = refusal(text);
      EXPECT_EQ(error.code, expected) << text << ": " << error.message;
      EXPECT_EQ(error.field, "sampling." + std::string(p.key()));
      ++tried;
    }
  }
  EXPECT_GT(tried, 80);
}

TEST(Protocol, RefusesWhatIsNoMessage) {
  EXPECT_EQ(code(""), "bad_json");
  EXPECT_EQ(code("{"), "bad_json");
  EXPECT_EQ(code("{\"type\":\"hello\",\"type\":\"hello\"}"), "bad_json");
  EXPECT_EQ(code("{\"type\":\"hello\",\"client\":NaN}"), "bad_json");
  EXPECT_EQ(code(std::string(100000, '[')), "bad_json");
  EXPECT_EQ(code("[]"), "bad_field");
  EXPECT_EQ(code("1"), "bad_field");
  EXPECT_EQ(code("{}"), "missing_field");
  EXPECT_EQ(code("{\"type\":\"dance\"}"), "unknown_type");
  EXPECT_EQ(code("{\"type\":\"Hello\"}"), "unknown_type");
  EXPECT_EQ(refusal("{\"type\":\"dance\",\"id\":\"a7\"}").id, "a7");
}

TEST(Protocol, RefusesAWrongPrompt) {
  const std::string begin = R"({"type":"generate","id":"a",)";
  EXPECT_EQ(code(begin + R"("prompt":"x","messages":[{"role":"user","content":"x"}]})"),
            "bad_field");
  EXPECT_EQ(code(begin + R"("messages":[]})"), "out_of_range");
  EXPECT_EQ(refusal(begin + R"("prompt":"x","begun":"y"})").field, "begun");
  const ProtocolError role = refusal(begin + R"("messages":[{"role":"king","content":"x"}]})");
  EXPECT_EQ(role.code + " " + role.field, "bad_field messages[0].role");
  const ProtocolError name =
      refusal(begin + R"("messages":[{"role":"user","content":"x"},{"role":"user","content":2}]})");
  EXPECT_EQ(name.code + " " + name.field, "bad_field messages[1].content");
  EXPECT_EQ(code(begin + R"("prompt":"x","stop":["a",""]})"), "out_of_range");
  EXPECT_EQ(code(begin + R"("prompt":"x","sampling":{"logit_bias":{"x":1}}})"), "bad_field");
  EXPECT_EQ(code(begin + R"("prompt":"x","sampling":{"logit_bias":{"1":101}}})"), "out_of_range");
  EXPECT_EQ(code(begin + R"("prompt":"x","sampling":{"heat":1}})"), "unknown_field");
}

TEST(Protocol, ReadsWhatAGenerationSays) {
  const ParsedMessage parsed = parse_client_message(
      R"({"type":"generate","id":"a","model":"owl","prompt":"Hi","stop":["\n"],"seed":9007199254740991,)"
      R"("max_tokens":5,"logprobs":2,"ignore_eos":true,"sampling":{"temperature":0,"top_k":3,)"
      R"("logit_bias":{"7":-100,"8":1.5}}})");
  const auto& m = std::get<GenerateMessage>(std::get<ClientMessage>(parsed));
  EXPECT_EQ(m.id + m.request.model + m.request.prompt, "aowlHi");
  EXPECT_EQ(m.request.answer.stop, std::vector<std::string>{"\n"});
  EXPECT_TRUE(m.has_seed);
  EXPECT_EQ(m.request.answer.sampling.seed, kMaxSeed);
  EXPECT_EQ(m.request.answer.max_new_tokens, 5);
  EXPECT_TRUE(m.request.answer.ignore_eos);
  EXPECT_EQ(m.request.top_logprobs, 2);
  EXPECT_EQ(m.request.answer.sampling.temperature, 0.0f);
  EXPECT_EQ(m.request.answer.sampling.top_k, 3);
  const std::vector<std::pair<int32_t, float>> biases{{7, -100.0f}, {8, 1.5f}};
  EXPECT_EQ(m.request.answer.sampling.logit_bias, biases);
}

TEST(Protocol, TheSchemaKnowsEveryCode) {
  const auto document = schema();
  const JsonValue error = document->root().find("$defs").find("error_frame");
  const JsonValue codes = error.find("properties").find("code").find("enum");
  std::set<std::string> known;
  for (JsonValue c = codes.first_child(); !c.is_missing(); c = c.next_sibling()) {
    known.insert(std::string(c.as_string()));
  }
  int engine = 0;
  for (; code_name(static_cast<Code>(engine)) != "unknown"; ++engine) {
    const std::string name(code_name(static_cast<Code>(engine)));
    EXPECT_EQ(known.erase(name), 1u) << name;
  }
  EXPECT_EQ(engine, static_cast<int>(Code::kUnloaded) + 1);
  for (const char* own : {error_code::kBadJson, error_code::kUnknownType, error_code::kUnknownField,
                          error_code::kMissingField, error_code::kBadField, error_code::kOutOfRange,
                          error_code::kDuplicateId, error_code::kUnknownId, error_code::kOrder,
                          error_code::kUnknownSession, error_code::kGone, error_code::kTakenOver,
                          error_code::kTooMany}) {
    EXPECT_EQ(known.erase(own), 1u) << own;
  }
  EXPECT_TRUE(known.empty()) << *known.begin();
}

TEST(Protocol, JoinsTokensOfOneTurn) {
  GenerationEvent a, b;
  a.token = 5;
  a.text = "Hé";
  b.token = 6;
  b.text = "\"\n";
  b.logprobs = {{6, -std::numeric_limits<float>::infinity(), "\xff"}, {7, -1.0f, "x"}};
  const GenerationEvent* both[] = {&a, &b};
  const std::string frame = token_frame({"a1", 9}, both);
  EXPECT_EQ(json_at(frame, "text"), "Hé\"\n");
  EXPECT_EQ(json_at(frame, "tokens.1"), "6");
  EXPECT_EQ(json_at(frame, "seq"), "9");
  EXPECT_EQ(json_at(frame, "logprobs.0.bytes.0"), "255");
  EXPECT_EQ(json_at(frame, "logprobs.0.logprob"), "-9999");
  EXPECT_EQ(json_at(frame, "logprobs.0.top.0.token"), "7");
}

}  // namespace
}  // namespace lamina::daemon
