// SPDX-License-Identifier: Apache-2.0
// The template language, construct by construct, against Jinja2, and its refusal of what would cost
// too much.
#include <gtest/gtest.h>

#include <string>

#include "core/base/utf8.h"
#include "core/model/jinja_heap.h"
#include "core/model/jinja_parser.h"
#include "core/model/jinja_print.h"
#include "core/model/jinja_text.h"
#include "tests/core/chat_goldens.h"

namespace lamina {
namespace {

// As in tests/core/chat_templates/snippets.py.
std::vector<ChatMessage> snippet_messages() {
  return {{"system", "  Be kind. "},
          {"user", "Hello, w\xC3\xB6rld\n"},
          {"assistant", "Hi </s> 'there' \"you\""},
          {"user", "a,b,,c"}};
}

Result<ChatPrompt> render(std::string_view source) {
  return render_chat(source, snippet_messages(), golden_options(true));
}

std::string printed(std::string_view source) {
  auto result = render(source);
  return result ? result->text() : "error: " + result.error().message;
}

TEST(Jinja, AgreesWithJinja2) {
  const ChatGoldens goldens = read_chat_goldens();
  ASSERT_GT(goldens.snippets.size(), 500u);
  for (const ChatGolden& golden : goldens.snippets) {
    SCOPED_TRACE(golden.source);
    expect_golden(golden, render(golden.source));
  }
}

TEST(Jinja, ErrorsNameFileLineAndName) {
  EXPECT_EQ(printed("a\n{{ nobody.home }}"), "error: test.jinja: line 2: 'nobody' is undefined");
  EXPECT_EQ(printed("a\n\n{{ 'x' | shout }}"),
            "error: test.jinja: line 3: there is no filter 'shout'");
  EXPECT_EQ(printed("{% if x %}\n{{ f( }}"),
            "error: test.jinja: line 2: a closing bracket has no partner");
  EXPECT_EQ(printed("{{ 1 + }}"),
            "error: test.jinja: line 1: expected an expression, found '}}'");
  EXPECT_EQ(printed("{% if x %}\n\n"),
            "error: test.jinja: line 2: expected {% endif %}, found the end of the template");
  EXPECT_EQ(printed("{% block x %}{% endblock %}"),
            "error: test.jinja: line 1: chat templates have no tag 'block'");
}

TEST(Jinja, ErrorCodesSayWhoIsToBlame) {
  EXPECT_EQ(render("{{ 1 + }}").error().code, Code::kInvalidModel);
  EXPECT_EQ(render("{{ 1 + 'a' }}").error().code, Code::kInvalidModel);
  EXPECT_EQ(render("{% include 'x' %}").error().code, Code::kUnsupported);
  EXPECT_EQ(render("{{ raise_exception('no') }}").error().code, Code::kInvalidArgument);
  EXPECT_EQ(render("{{ 9223372036854775807 + 1 }}").error().code, Code::kUnsupported);
}

TEST(Jinja, IntegersNeverOverflowSilently) {
  for (const char* expression :
       {"9223372036854775807 + 1", "-9223372036854775807 - 2", "9223372036854775807 * 2",
        "(-9223372036854775807 - 1) // -1", "(-9223372036854775807 - 1) % -1",
        "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1) | abs", "2 ** 64",
        "9223372036854775808", "0xFFFFFFFFFFFFFFFFF"}) {
    EXPECT_FALSE(render(std::string("{{ ") + expression + " }}").has_value()) << expression;
  }
  EXPECT_EQ(printed("{{ 9223372036854775807 }}{{ 2 ** 62 }}"),
            "92233720368547758074611686018427387904");
}

// Sets n.x to `start`, then `times` times to `next`.
std::string grown(const std::string& n, const std::string& start, const std::string& next,
                  int times) {
  return "{% set " + n + " = namespace(x=" + start + ") %}{% for i in range(" +
         std::to_string(times) + ") %}{% set " + n + ".x = " + next + " %}{% endfor %}";
}

std::string doubled(const std::string& n) {
  return grown(n, "[]", "[" + n + ".x, " + n + ".x]", 40);
}

// A string of a million letters, used 100000 times.
std::string hammered(const std::string& body) {
  return "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}" + body + "{% endfor %}";
}

// Each would take forever, or all memory, in an interpreter without a budget.
TEST(Jinja, BombsAreRefused) {
  const std::string bombs[] = {
      "{{ range(10 ** 9) }}",
      "{{ 'x' * 10 ** 12 }}",
      "{{ 'x' * 9223372036854775807 }}",
      "{{ [1] * 10 ** 12 }}",
      "{{ [[]] * 9223372036854775807 }}",
      "{{ 1 ** 9223372036854775807 }}",
      "{{ 'a' | indent(10 ** 9) }}",
      "{{ [[1]] | tojson(indent=10 ** 9) }}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      grown("n", "'x'", "n.x + n.x", 60),
      grown("n", "[1]", "n.x + n.x", 60),
      grown("n", "'a'", "n.x ~ n.x", 60),
      grown("n", "'a'", "[n.x, n.x] | join", 60),
      grown("n", "'a'", "n.x | replace('a', 'aa')", 60),
      grown("n", "[]", "[n.x]", 99999),
      doubled("n") + "{{ n.x }}",
      doubled("n") + "{{ n.x | tojson }}",
      doubled("n") + doubled("m") + "{{ n.x == m.x }}",
      "{% set s = 'a' * 1000000 %}{{ s * 30 }}",
      "{% set s = 'ab' * 900000 %}{{ s.find('ab' * 500000 ~ 'c') }}",
      hammered("{{ s }}"),
      hammered("{{ s in s[1:] ~ 'b' }}"),
      hammered("{% set x = s.split('a') %}"),
      hammered("{% set x = [] | join(s) %}"),
      hammered("{% if s == s %}{% endif %}"),
      hammered("{% set x = s | upper | trim %}"),
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(24) }}",
  };
  for (const std::string& bomb : bombs) {
    SCOPED_TRACE(bomb);
    auto result = render(bomb);
    ASSERT_FALSE(result.has_value());
    EXPECT_TRUE(result.error().code == Code::kResourceExhausted ||
                result.error().code == Code::kUnsupported)
        << result.error().message;
  }
}

std::string repeated(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

TEST(Jinja, DeepSourcesAreRefused) {
  constexpr size_t kMany = 20000;
  const std::string sources[] = {
      "{{ " + repeated("(", kMany) + "1" + repeated(")", kMany) + " }}",
      "{{ " + repeated("[", kMany) + repeated("]", kMany) + " }}",
      "{{ " + repeated("{1:", kMany) + "1" + repeated("}", kMany) + " }}",
      "{{ " + repeated("-", kMany) + "1 }}",
      "{{ " + repeated("not ", kMany) + "1 }}",
      "{{ 1" + repeated(" + 1", kMany) + " }}",
      "{{ 1" + repeated(" and 1", kMany) + " }}",
      "{{ 1" + repeated(" if 1 else 1", kMany) + " }}",
      "{{ x" + repeated(".x", kMany) + " }}",
      "{{ x" + repeated("[0]", kMany) + " }}",
      "{{ x" + repeated("()", kMany) + " }}",
      "{{ x" + repeated("|trim", kMany) + " }}",
      "{{ f(" + repeated("f(", kMany) + repeated(")", kMany) + ") }}",
      repeated("{% if 1 %}", kMany) + repeated("{% endif %}", kMany),
      repeated("{% for x in y %}", 6000) + repeated("{% endfor %}", 6000),
  };
  for (const std::string& source : sources) {
    auto result = ChatTemplate::parse(source, "deep");
    ASSERT_FALSE(result.has_value()) << source.substr(0, 40);
    EXPECT_EQ(result.error().code, Code::kResourceExhausted) << result.error().message;
  }
}

TEST(Jinja, WideSourcesAreFine) {
  EXPECT_EQ(printed("{{ '' " + repeated("~ 'a'", 1000) + " }}"), std::string(1000, 'a'));
  EXPECT_EQ(printed("{{ 'a'" + repeated(" + 'a'", 100) + " }}"), std::string(101, 'a'));
  EXPECT_EQ(printed("{% if 0 %}" + repeated("{% elif 0 %}", 5000) + "{% else %}x{% endif %}"), "x");
  EXPECT_EQ(printed(repeated("{{ 1 }}", 5000)), std::string(5000, '1'));
}

TEST(Jinja, SourceIsLimited) {
  const std::string limit(jinja::kMaxSourceBytes, 'a');
  EXPECT_TRUE(ChatTemplate::parse(limit, "x").has_value());
  EXPECT_EQ(ChatTemplate::parse(limit + "a", "x").error().code, Code::kResourceExhausted);
  EXPECT_EQ(ChatTemplate::parse("\xFF", "x").error().code, Code::kInvalidModel);
}

// Searches of unclosed constructs must not start over at each.
TEST(Jinja, HostileTagsParseInLinearTime) {
  for (const char* piece : {"{%", "{% raw %}", "{% raw %}{% endraw ", "{#", "{{'", "{ ", "{%-  "}) {
    std::string source;
    while (source.size() + 32 < jinja::kMaxSourceBytes) source += piece;
    auto result = ChatTemplate::parse(source, "x");
    EXPECT_EQ(result.has_value(), std::string(piece) == "{ ") << piece;
  }
  std::string raw = "{% raw %}";
  while (raw.size() + 32 < jinja::kMaxSourceBytes) raw += "{%endraw";
  EXPECT_FALSE(ChatTemplate::parse(raw, "x").has_value());
}

TEST(Jinja, NamespaceCyclesAreHarmless) {
  const std::string cycle = "{% set a = namespace() %}{% set a.a = a %}{% set a.l = [a] %}";
  EXPECT_EQ(printed(cycle + "{{ a.a.a.l | length }}"), "1");
  EXPECT_FALSE(render("{% set a = namespace() %}{% set a.a = [a] %}{{ a.a }}").has_value());
}

TEST(JinjaText, KeepsTrustThroughSlices) {
  jinja::Text text("ab", true);
  text.append("cd", false);
  text.append("", true);
  text.append("ef", true);
  text.append("gh", true);
  ASSERT_EQ(text.runs().size(), 3u);
  EXPECT_EQ(text.bytes(), "abcdefgh");
  const jinja::Text middle = text.slice(1, 5);
  EXPECT_EQ(middle.bytes(), "bcde");
  ASSERT_EQ(middle.runs().size(), 3u);
  EXPECT_EQ(middle.runs()[1].end, 3u);
  EXPECT_FALSE(middle.runs()[1].trusted);
  EXPECT_TRUE(text.slice(4, 8).all_trusted());
  EXPECT_FALSE(text.slice(3, 8).all_trusted());
  EXPECT_TRUE(text.slice(3, 3).runs().empty());
}

TEST(JinjaText, CountsCodePoints) {
  const std::string text = "a\xC3\xB6\xE4\xBD\xA0\xF0\x9F\x98\x80z";
  EXPECT_EQ(jinja::count_code_points(text), 5u);
  EXPECT_EQ(jinja::offset_of_code_point(text, 2), 3u);
  EXPECT_EQ(jinja::offset_of_code_point(text, 5), text.size());
  EXPECT_EQ(jinja::offset_of_code_point(text, 99), text.size());
}

TEST(JinjaPrint, FloatsAsPython) {
  const std::pair<double, const char*> cases[] = {
      {0.0, "0.0"},     {-0.0, "-0.0"},   {1.0, "1.0"},      {0.1, "0.1"},     {1e16, "1e+16"},
      {1e15, "1000000000000000.0"},       {123456.75, "123456.75"},            {1e-4, "0.0001"},
      {1e-5, "1e-05"},  {1.5e-7, "1.5e-07"},                 {1e100, "1e+100"}, {5e-324, "5e-324"},
      {-2.5, "-2.5"},   {1.7976931348623157e308, "1.7976931348623157e+308"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(jinja::float_repr(value), text);
}

}  // namespace
}  // namespace lamina
