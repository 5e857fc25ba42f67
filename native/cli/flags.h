// SPDX-License-Identifier: Apache-2.0
// Flags, declared so that help, completion and the man page can read everything from the tree: an
// option's type name says what it takes. "DIR", "FILE" and "KEY" complete to paths, "a|b|c" is a
// choice.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace lamina::cli {

// `names` as CLI11 writes them: "-m,--model". Given twice, the last one counts.
CLI::Option* text_flag(CLI::App& verb, const std::string& names, std::string& value,
                       const std::string& kind, const std::string& help);
CLI::Option* text_flag(CLI::App& verb, const std::string& names, std::optional<std::string>& value,
                       const std::string& kind, const std::string& help);

// One of `choices`; the error suggests.
CLI::Option* choice_flag(CLI::App& verb, const std::string& names, std::string& value,
                         const std::vector<std::string>& choices, const std::string& help);

// Decimal numbers within [low, high].
CLI::Option* int_flag(CLI::App& verb, const std::string& names, int32_t& value, int32_t low,
                      int32_t high, const std::string& help);
CLI::Option* float_flag(CLI::App& verb, const std::string& names, float& value, float low,
                        float high, const std::string& help);
// -1 (nothing) or an unsigned 64-bit number.
CLI::Option* seed_flag(CLI::App& verb, const std::string& names, std::optional<uint64_t>& value,
                       const std::string& help);
// "64M", "1G", "4096": powers of 1024.
CLI::Option* size_flag(CLI::App& verb, const std::string& names, uint64_t& value, uint64_t low,
                       uint64_t high, const std::string& help);

// May be given many times, one value each.
CLI::Option* list_flag(CLI::App& verb, const std::string& names, std::vector<std::string>& values,
                       const std::string& kind, const std::string& help);

CLI::Option* switch_flag(CLI::App& verb, const std::string& names, bool& value,
                         const std::string& help);

// A value without a flag; `name` is what errors call it.
CLI::Option* positional(CLI::App& verb, const std::string& name, std::string& value,
                        const std::string& kind, const std::string& help);

// The words of "a|b|c"; none when there is no choice.
std::vector<std::string> split_choices(const std::string& kind);

// "1,2,3", "1 2 3" or "[1, 2, 3]" as token ids.
Result<std::vector<int32_t>> parse_ids(std::string_view text);

// Whole-string number parsers: no spaces, no hex, no trailing letters.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);
std::optional<uint64_t> parse_size(std::string_view text);

}  // namespace lamina::cli
