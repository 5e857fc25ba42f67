// SPDX-License-Identifier: Apache-2.0
#include "native/cli/flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "native/cli/console.h"
#include "native/cli/suggest.h"

namespace lamina::cli {
namespace {

// Checks the text of a value before CLI11 converts it; `check` returns a complaint or "".
CLI::Option* checked(CLI::Option* option, const std::string& kind,
                     std::function<std::string(const std::string&)> check) {
  option->type_name(kind);
  if (check) option->check(CLI::Validator(std::move(check), ""));
  return option;
}

CLI::Option* last_wins(CLI::Option* option) {
  return option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

std::string one_of(const std::string& text, const std::vector<std::string>& choices) {
  if (choices.empty() || std::ranges::find(choices, text) != choices.end()) return {};
  return quote(text) + " is not one of " + joined(choices, ", ") + did_you_mean(text, choices);
}

template <typename T>
std::string range_complaint(const std::string& text, std::optional<T> number, double low,
                            double high) {
  const bool digits = text.find_first_not_of("0123456789", text.starts_with('-')) == text.npos &&
                      text.find_first_of("0123456789") != text.npos;
  if (!number && !digits) return quote(text) + " is not a number";
  if (number && *number >= static_cast<T>(low) && *number <= static_cast<T>(high)) return {};
  if (high >= 1e9) return quote(text) + format(" is out of range: at least %g", low);
  return quote(text) + format(" is out of range: %g to %g", low, high);
}

}  // namespace

std::vector<std::string> split_choices(const std::string& kind) {
  std::vector<std::string> words;
  if (kind.find('|') == std::string::npos) return words;
  for (size_t at = 0; at <= kind.size();) {
    const size_t end = std::min(kind.find('|', at), kind.size());
    words.push_back(kind.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::optional<int64_t> parse_int(std::string_view text) {
  int64_t number = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> parse_double(std::string_view text) {
  double number = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint64_t> parse_size(std::string_view text) {
  int shift = 0;
  if (!text.empty()) {
    switch (text.back()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      default:
        break;
    }
  }
  if (shift) text.remove_suffix(1);
  const std::optional<int64_t> number = parse_int(text);
  if (!number || *number < 0 || *number > (INT64_MAX >> shift)) return std::nullopt;
  return static_cast<uint64_t>(*number) << shift;
}

Result<std::vector<int32_t>> parse_ids(std::string_view text) {
  std::vector<int32_t> ids;
  constexpr std::string_view kBetween = ", \t\r\n[]";
  size_t at = text.find_first_not_of(kBetween);
  while (at != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const std::optional<int64_t> id = parse_int(word);
    if (!id || *id < 0 || *id > INT32_MAX) {
      return make_error(Code::kInvalidArgument, "%s is not a token id", quote(word).c_str());
    }
    ids.push_back(static_cast<int32_t>(*id));
    at = text.find_first_not_of(kBetween, end);
  }
  return ids;
}

CLI::Option* text_flag(CLI::App& verb, const std::string& names, std::string& value,
                       const std::string& kind, const std::string& help) {
  return last_wins(checked(verb.add_option(names, value, help), kind, nullptr));
}

CLI::Option* text_flag(CLI::App& verb, const std::string& names, std::optional<std::string>& value,
                       const std::string& kind, const std::string& help) {
  auto* option = verb.add_option_function<std::string>(
      names, [&value](const std::string& text) { value = text; }, help);
  return last_wins(checked(option, kind, nullptr));
}

CLI::Option* choice_flag(CLI::App& verb, const std::string& names, std::string& value,
                         const std::vector<std::string>& choices, const std::string& help) {
  auto check = [choices](const std::string& text) { return one_of(text, choices); };
  auto* option = verb.add_option(names, value, help)->capture_default_str();
  return last_wins(checked(option, joined(choices, "|"), check));
}

CLI::Option* int_flag(CLI::App& verb, const std::string& names, int32_t& value, int32_t low,
                      int32_t high, const std::string& help) {
  auto check = [low, high](const std::string& text) {
    return range_complaint(text, parse_int(text), low, high);
  };
  auto* option = verb.add_option(names, value, help)->capture_default_str();
  return last_wins(checked(option, "N", check));
}

CLI::Option* float_flag(CLI::App& verb, const std::string& names, float& value, float low,
                        float high, const std::string& help) {
  auto check = [low, high](const std::string& text) {
    return range_complaint(text, parse_double(text), static_cast<double>(low),
                           static_cast<double>(high));
  };
  auto* option = verb.add_option(names, value, help);
  option->default_str(format("%g", static_cast<double>(value)));
  return last_wins(checked(option, "X", check));
}

CLI::Option* seed_flag(CLI::App& verb, const std::string& names, std::optional<uint64_t>& value,
                       const std::string& help) {
  auto check = [](const std::string& text) -> std::string {
    uint64_t seed = 0;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, seed);
    const bool good = error == std::errc() && at == end;
    return good || text == "-1" ? "" : quote(text) + " is not a seed: a whole number, or -1";
  };
  auto* option = verb.add_option_function<std::string>(
      names,
      [&value](const std::string& text) {
        uint64_t seed = 0;
        std::from_chars(text.data(), text.data() + text.size(), seed);
        value = text == "-1" ? std::nullopt : std::optional<uint64_t>(seed);
      },
      help);
  return last_wins(checked(option, "N", check));
}

CLI::Option* size_flag(CLI::App& verb, const std::string& names, uint64_t& value, uint64_t low,
                       uint64_t high, const std::string& help) {
  auto check = [low, high](const std::string& text) -> std::string {
    const std::optional<uint64_t> size = parse_size(text);
    if (!size) return quote(text) + " is not a size: a number, with K, M or G behind it";
    if (*size >= low && *size <= high) return {};
    return quote(text) + format(" is out of range: %llu to %llu bytes",
                                static_cast<unsigned long long>(low),
                                static_cast<unsigned long long>(high));
  };
  auto* option = verb.add_option_function<std::string>(
      names, [&value](const std::string& text) { value = parse_size(text).value_or(value); }, help);
  return last_wins(checked(option, "SIZE", check));
}

CLI::Option* list_flag(CLI::App& verb, const std::string& names, std::vector<std::string>& values,
                       const std::string& kind, const std::string& help) {
  auto* option = verb.add_option(names, values, help);
  return checked(option->allow_extra_args(false), kind, nullptr);
}

CLI::Option* switch_flag(CLI::App& verb, const std::string& names, bool& value,
                         const std::string& help) {
  return verb.add_flag(names, value, help)
      ->disable_flag_override()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

CLI::Option* positional(CLI::App& verb, const std::string& name, std::string& value,
                        const std::string& kind, const std::string& help) {
  CLI::Option* option = verb.add_option(name, value, help);
  return checked(option, kind, [kind](const std::string& text) -> std::string {
    return one_of(text, split_choices(kind));
  });
}

}  // namespace lamina::cli
