// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include <gtest/gtest.h>

namespace lamina {
namespace {

std::unique_ptr<JsonDocument> parsed(std::string_view text) {
  auto document = JsonDocument::parse(text, "t.json");
  EXPECT_TRUE(document) << document.error().message;
  return std::move(*document);
}

std::string refused(std::string_view text, const JsonLimits& limits = {}) {
  const auto document = JsonDocument::parse(text, "t.json", limits);
  EXPECT_FALSE(document) << text;
  if (document) return "";
  EXPECT_EQ(document.error().code, Code::kInvalidModel);
  return document.error().message;
}

TEST(Json, ReadsEveryKind) {
  const auto d = parsed(R"({"a":[1,-2.5,"x\u00e9",true,null,{}],"b":{"c":18446744073709551615}})");
  const JsonValue a = d->root().find("a");
  ASSERT_EQ(a.size(), 6u);
  JsonValue v = a.first_child();
  EXPECT_EQ(v.as_int(), 1);
  v = v.next_sibling();
  EXPECT_EQ(v.as_double(), -2.5);
  v = v.next_sibling();
  EXPECT_EQ(v.as_string(), "x\xC3\xA9");
  v = v.next_sibling();
  EXPECT_TRUE(v.as_bool());
  v = v.next_sibling();
  EXPECT_TRUE(v.is_null());
  v = v.next_sibling();
  EXPECT_TRUE(v.is_object());
  EXPECT_TRUE(v.next_sibling().is_missing());
  EXPECT_EQ(d->root().find("b").find("c").as_double(), 18446744073709551615.0);
  EXPECT_TRUE(d->root().find("nothing").is_missing());
}

TEST(Json, ErrorsNameFilePathAndValue) {
  const auto d = parsed(R"({"rope":{"factor":-1},"list":[{"n":"five"}],"big":1e30})");
  EXPECT_EQ(d->root().find("rope").get_double("factor", 0, 10).error().message,
            "t.json: field 'rope.factor': must be a number from 0 to 10 (is -1)");
  EXPECT_EQ(d->root().find("list").first_child().get_int("n", 0, 9).error().message,
            "t.json: field 'list[0].n': must be a whole number from 0 to 9 (is 'five')");
  EXPECT_EQ(d->root().get_int("big", 0, 9).error().message,
            "t.json: field 'big': must be a whole number from 0 to 9 (is 1e+30)");
  EXPECT_EQ(d->root().get_string("name").error().message,
            "t.json: field 'name': a string is needed (is missing)");
  EXPECT_EQ(*d->root().get_int_or("name", 7, 0, 9), 7);
}

TEST(Json, RefusesHostileText) {
  EXPECT_NE(refused("").find("not valid JSON"), std::string::npos);
  EXPECT_NE(refused("{\"a\":1,}").find("byte"), std::string::npos);
  refused("{\"a\":1} x");
  refused("{'a':1}");
  refused("[1,2");
  refused("nan");
  refused("\"\xFF\"");
  EXPECT_NE(refused(std::string(100000, '[')).find("deeper than 64"), std::string::npos);
  EXPECT_NE(refused(R"({"a":1,"b":2,"a":3})").find("duplicate key 'a'"), std::string::npos);
  JsonLimits limits;
  limits.max_bytes = 10;
  EXPECT_NE(refused("[1,2,3,4,5,6,7]", limits).find("at most 10"), std::string::npos);
}

// 64 MiB of tiny values would take 32 bytes of memory for every two of text.
TEST(Json, CountsValues) {
  std::string many = "[0";
  for (int i = 0; i < (1 << 22); ++i) many += ",0";
  EXPECT_EQ(refused(many + "]"), "t.json: over the limit of 4194304 JSON values");
  many.assign("[[]");
  for (int i = 0; i < (1 << 22); ++i) many += ",[]";
  EXPECT_EQ(refused(many + "]"), "t.json: over the limit of 4194304 JSON values");
  JsonLimits limits;
  limits.max_values = 4;
  EXPECT_NE(refused(R"({"a":1,"b":[2,3]})", limits).find("limit of 4"), std::string::npos);
  EXPECT_TRUE(JsonDocument::parse(R"({"a":1,"b":[2]})", "t.json", limits));
}

// As many as a tokenizer.json of 128k tokens and 280k merges has, each merge a pair.
TEST(Json, ReadsALargeTokenizer) {
  std::string text = "{\"vocab\":{";
  for (int i = 0; i < 128000; ++i) {
    text += (i ? ",\"t" : "\"t") + std::to_string(i) + "\":" + std::to_string(i);
  }
  text += "},\"merges\":[[\"a\",\"b\"]";
  for (int i = 1; i < 280000; ++i) text += ",[\"a\",\"b\"]";
  const auto d = parsed(text + "]}");
  EXPECT_EQ(d->root().find("vocab").size(), 128000u);
  EXPECT_EQ(d->root().find("merges").size(), 280000u);
}

TEST(Json, WriterIsReadBackTheSame) {
  JsonWriter w;
  w.begin_object().member("name", "a\"b\\\n\x01\xC3\xA9").member("n", int64_t{-5});
  w.key("list").begin_array().value(0.1).value(1e300).value(true).null().end_array();
  w.key("empty").begin_object().end_object().end_object();
  EXPECT_EQ(w.text(),
            "{\"name\":\"a\\\"b\\\\\\n\\u0001\xC3\xA9\",\"n\":-5,"
            "\"list\":[0.1,1e+300,true,null],\"empty\":{}}");
  const auto d = parsed(w.text());
  EXPECT_EQ(d->root().find("name").as_string(), "a\"b\\\n\x01\xC3\xA9");
  EXPECT_EQ(d->root().find("list").first_child().as_double(), 0.1);
}

TEST(Json, IndentedFormParses) {
  JsonWriter w(2);
  w.begin_object().key("a").begin_array().value(1).value(2).end_array().member("b", "c").end_object();
  EXPECT_EQ(w.text(), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": \"c\"\n}");
  EXPECT_EQ(parsed(w.text())->root().find("b").as_string(), "c");
}

}  // namespace
}  // namespace lamina
