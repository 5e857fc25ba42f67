// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/config.h"

#include <gtest/gtest.h>

#include <set>

#include "native/daemon/log.h"

namespace lamina::daemon {
namespace {

using Variables = std::map<std::string, std::string>;

Result<Settings> resolve(const std::optional<std::string>& file, const Variables& variables = {},
                         const std::map<std::string, Settings::Values>& flags = {}) {
  const auto environment = [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return Settings::resolve(file, "config.json", environment, flags);
}

std::string complaint(const std::optional<std::string>& file, const Variables& variables = {},
                      const std::map<std::string, Settings::Values>& flags = {}) {
  const Result<Settings> settings = resolve(file, variables, flags);
  if (settings) return "fine";
  EXPECT_EQ(settings.error().code, Code::kInvalidArgument);
  return settings.error().message;
}

TEST(Config, HasItsDefaults) {
  const Settings settings = resolve(std::nullopt).value();
  EXPECT_EQ(settings.text("host"), "127.0.0.1");
  EXPECT_EQ(settings.number("port"), 8484);
  EXPECT_FALSE(settings.flag("insecure_no_auth"));
  EXPECT_TRUE(settings.list("models").empty());
  EXPECT_EQ(settings.size("memory_budget"), 0u);
}

TEST(Config, OnePrecedence) {
  const Settings settings =
      resolve(R"({"port": 1, "queue": 2, "parallel": 3, "host": "a"})",
              {{"LAMINA_PORT", "4"}, {"LAMINA_QUEUE", "5"}}, {{"port", {"6"}}})
          .value();
  EXPECT_EQ(settings.number("port"), 6);
  EXPECT_EQ(settings.number("queue"), 5);
  EXPECT_EQ(settings.number("parallel"), 3);
  EXPECT_EQ(settings.number("threads"), 0);
  for (const Settings::Setting& s : settings.all()) {
    if (std::string_view(s.info->name) != "port") continue;
    ASSERT_EQ(s.sources.size(), 4u);
    EXPECT_EQ(s.sources[0].origin + s.sources[1].origin, "--portLAMINA_PORT");
    EXPECT_EQ(s.sources[2].origin + s.sources[3].origin, "config.json: portdefault");
  }
}

TEST(Config, ReadsEveryKind) {
  const Settings settings =
      resolve(R"({"models": ["a", "b"], "allow_origin": "https://x.org", "tls_self_signed": true,
                  "memory_budget": "6G", "kv": "i8", "model_root": "/m"})",
              {{"LAMINA_ALLOW_HOST", "a.org,b.org"}, {"LAMINA_INSECURE_NO_AUTH", "1"}})
          .value();
  EXPECT_EQ(settings.list("models"), (Settings::Values{"a", "b"}));
  EXPECT_EQ(settings.list("allow_origin"), Settings::Values{"https://x.org"});
  EXPECT_EQ(settings.list("allow_host"), (Settings::Values{"a.org", "b.org"}));
  EXPECT_TRUE(settings.flag("tls_self_signed") && settings.flag("insecure_no_auth"));
  EXPECT_EQ(settings.size("memory_budget"), uint64_t{6} << 30);
}

TEST(Config, NamesWhatIsWrong) {
  EXPECT_NE(complaint(R"({"prot": 1})").find("no setting 'prot'"), std::string::npos);
  EXPECT_NE(complaint(R"({"port": "x"})").find("'port'"), std::string::npos);
  EXPECT_NE(complaint(R"({"port": -1})").find("'port'"), std::string::npos);
  EXPECT_NE(complaint(R"({"port": 70000})").find("0 to 65535"), std::string::npos);
  EXPECT_NE(complaint(R"({"kv": "i4"})").find("not one of f32|f16|i8"), std::string::npos);
  EXPECT_NE(complaint(R"({"models": [1]})").find("must be a string"), std::string::npos);
  EXPECT_NE(complaint("[]").find("JSON object"), std::string::npos);
  EXPECT_NE(complaint("{").find("config.json"), std::string::npos);
  EXPECT_NE(complaint({}, {{"LAMINA_PORT", "http"}}).find("LAMINA_PORT"), std::string::npos);
  EXPECT_NE(complaint({}, {{"LAMINA_TLS_SELF_SIGNED", "si"}}).find("neither"), std::string::npos);
  EXPECT_NE(complaint({}, {}, {{"memory_budget", {"99999999999G"}}}).find("--memory-budget"),
            std::string::npos);
  EXPECT_EQ(complaint(R"({"port": 1})", {{"LAMINA_PORT", ""}}), "fine");
}

TEST(Config, NamesAreUnique) {
  std::set<std::string> names;
  for (const SettingInfo& info : setting_table()) {
    EXPECT_TRUE(names.insert(info.name).second);
    EXPECT_TRUE(names.insert(info.flags).second);
    EXPECT_TRUE(names.insert(info.environment).second);
  }
}

TEST(Log, LinesAreSafe) {
  const Log::Fields fields = {{"peer", "1.2.3.4:5"}, {"client", "a \"b\"\n"}, {"count", 3}};
  EXPECT_EQ(Log::line(Log::Format::kText, "begun", fields),
            R"(begun peer=1.2.3.4:5 client="a \"b\"\n" count=3)");
  EXPECT_EQ(Log::line(Log::Format::kJson, "begun", fields),
            R"("event":"begun","peer":"1.2.3.4:5","client":"a \"b\"\n","count":"3")");
}

}  // namespace
}  // namespace lamina::daemon
