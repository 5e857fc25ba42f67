// SPDX-License-Identifier: Apache-2.0
// The matchers take the first alternative that matches, as a backtracking engine does:
//
//   kLlama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
//            | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   kGpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// What backtracking leaves of a run of white space: \s*[\r\n]+ ends after the run's last line
// break; \s+(?!\S) leaves the run's last character to the word behind it, unless it is alone.
#include "core/model/pretokenizer.h"

#include <algorithm>
#include <array>

#include "core/model/unicode_tables.h"
#include "core/model/utf8_scan.h"

namespace lamina {

namespace {

constexpr uint8_t kClasses = kUnicodeLetter | kUnicodeNumber | kUnicodeSpace;

constexpr std::array<uint8_t, 128> make_ascii_classes() {
  std::array<uint8_t, 128> classes{};
  for (int c = 'a'; c <= 'z'; ++c) {
    classes[static_cast<size_t>(c)] = kUnicodeLetter;
    classes[static_cast<size_t>(c - 'a' + 'A')] = kUnicodeLetter;
  }
  for (int c = '0'; c <= '9'; ++c) classes[static_cast<size_t>(c)] = kUnicodeNumber;
  for (int c = '\t'; c <= '\r'; ++c) classes[static_cast<size_t>(c)] = kUnicodeSpace;
  classes[' '] = kUnicodeSpace;
  return classes;
}
constexpr std::array<uint8_t, 128> kAsciiClasses = make_ascii_classes();

struct Classified {
  uint8_t kind;  // of kClasses at most one bit; 0 for everything else
  uint32_t bytes;
};

inline Classified classify(std::string_view text, size_t i) {
  const auto lead = static_cast<uint8_t>(text[i]);
  if (lead < 0x80) return {kAsciiClasses[lead], 1};
  const ScannedChar c = scan_char(text, i);
  return {static_cast<uint8_t>(unicode_class(c.value) & kClasses), c.bytes};
}

inline bool is_kind(std::string_view text, size_t i, uint8_t kind) {
  return i < text.size() && classify(text, i).kind == kind;
}

size_t skip_kind(std::string_view text, size_t i, uint8_t kind) {
  while (i < text.size()) {
    const Classified c = classify(text, i);
    if (c.kind != kind) break;
    i += c.bytes;
  }
  return i;
}

bool is_line_break(char c) {
  return c == '\r' || c == '\n';
}

size_t skip_line_breaks(std::string_view text, size_t i) {
  while (i < text.size() && is_line_break(text[i])) ++i;
  return i;
}

// Bytes of 's 't 're 've 'm 'll 'd at `i`, 0 if there is none. Folding case, U+017F (long s) is an
// s as well: it is the only other code point whose simple folding is one of these letters.
size_t contraction(std::string_view text, size_t i, bool fold) {
  const auto letter = [&](size_t k) {
    const char c = i + k < text.size() ? text[i + k] : '\0';
    return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  if (letter(0) != '\'') return 0;
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(2) == 'e' ? 3 : 0;
    case 'l':
      return letter(2) == 'l' ? 3 : 0;
    default:
      return fold && text.substr(i + 1).starts_with("\u017F") ? 3 : 0;
  }
}

// REQUIRES: white space at `begin`.
size_t white_space_end(std::string_view text, size_t begin, bool break_lines) {
  size_t end = begin;
  size_t last = begin;     // where the run's last character begins
  size_t after_break = 0;  // behind the run's last line break
  while (is_kind(text, end, kUnicodeSpace)) {
    last = end;
    end += classify(text, end).bytes;
    if (is_line_break(text[last])) after_break = end;
  }
  if (break_lines && after_break > 0) return after_break;
  return end < text.size() && last > begin ? last : end;
}

size_t gpt2_end(std::string_view text, size_t begin) {
  if (const size_t n = contraction(text, begin, false)) return begin + n;
  const size_t body = begin + (text[begin] == ' ');
  if (body < text.size()) {
    const uint8_t kind = classify(text, body).kind;
    if (kind != kUnicodeSpace) return skip_kind(text, body, kind);
  }
  return white_space_end(text, begin, false);
}

size_t llama3_end(std::string_view text, size_t begin, int most_digits) {
  if (const size_t n = contraction(text, begin, true)) return begin + n;
  const Classified first = classify(text, begin);
  size_t next = begin + first.bytes;
  if (first.kind == kUnicodeLetter) return skip_kind(text, next, kUnicodeLetter);
  if (first.kind == kUnicodeNumber) {
    for (int n = 1; n < most_digits && is_kind(text, next, kUnicodeNumber); ++n) {
      next += classify(text, next).bytes;
    }
    return next;
  }
  if (!is_line_break(text[begin]) && is_kind(text, next, kUnicodeLetter)) {
    return skip_kind(text, next, kUnicodeLetter);
  }
  const size_t body = begin + (text[begin] == ' ');
  if (is_kind(text, body, 0)) return skip_line_breaks(text, skip_kind(text, body, 0));
  return white_space_end(text, begin, true);
}

}  // namespace

std::optional<SplitPattern> split_pattern_of(std::string_view regex) {
  if (regex == R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)") {
    return SplitPattern::kGpt2;
  }
  constexpr std::string_view kHead =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
  constexpr std::string_view kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view kThree = "{1,3}";
  if (!regex.starts_with(kHead) || !regex.ends_with(kTail)) return std::nullopt;
  const size_t fixed = kHead.size() + kTail.size();
  if (regex.size() == fixed) return SplitPattern::kQwen2;
  if (regex.size() < fixed) return std::nullopt;
  const std::string_view count = regex.substr(kHead.size(), regex.size() - fixed);
  return count == kThree ? std::optional(SplitPattern::kLlama3) : std::nullopt;
}

size_t split_end(SplitPattern pattern, std::string_view text, size_t begin) {
  switch (pattern) {
    case SplitPattern::kGpt2:
      return gpt2_end(text, begin);
    case SplitPattern::kLlama3:
      return llama3_end(text, begin, 3);
    case SplitPattern::kQwen2:
      return llama3_end(text, begin, 1);
  }
  return text.size();
}

void PreTokenizer::add_split(SplitPattern pattern) {
  steps_.push_back({.kind = Kind::kSplit, .pattern = pattern});
}

void PreTokenizer::add_digits(bool individual) {
  steps_.push_back({.kind = Kind::kDigits, .individual = individual});
}

void PreTokenizer::add_byte_level(bool add_prefix_space, bool use_regex) {
  if (add_prefix_space) steps_.push_back({.kind = Kind::kPrefixSpace});
  if (use_regex) add_split(SplitPattern::kGpt2);
  byte_level_ = true;
}

void PreTokenizer::add_metaspace(std::string replacement, PrependScheme scheme, bool split) {
  steps_.push_back({.kind = Kind::kMetaspace,
                    .split = split,
                    .scheme = scheme,
                    .replacement = std::move(replacement)});
}

void PreTokenizer::run(std::string_view text, bool at_start, std::deque<std::string>& kept,
                       const Emit& emit) const {
  run_step(0, text, at_start, {kept, emit});
}

void PreTokenizer::run_step(size_t step, std::string_view piece, bool at_start,
                            const Context& context) const {
  if (piece.empty()) return;
  if (step == steps_.size()) return context.emit(piece);
  switch (steps_[step].kind) {
    case Kind::kSplit:
      for (size_t begin = 0, end = 0; begin < piece.size(); begin = end) {
        end = split_end(steps_[step].pattern, piece, begin);
        run_step(step + 1, piece.substr(begin, end - begin), at_start && begin == 0, context);
      }
      return;
    case Kind::kDigits:
      return run_digits(step, piece, at_start, context);
    case Kind::kMetaspace:
      return run_metaspace(step, piece, at_start, context);
    case Kind::kPrefixSpace:
      if (piece[0] != ' ') piece = context.kept.emplace_back(1, ' ').append(piece);
      return run_step(step + 1, piece, at_start, context);
  }
}

void PreTokenizer::run_digits(size_t step, std::string_view piece, bool at_start,
                              const Context& context) const {
  for (size_t begin = 0, end = 0; begin < piece.size(); begin = end) {
    const bool digit = is_kind(piece, begin, kUnicodeNumber);
    end = begin;
    do {
      end += classify(piece, end).bytes;
    } while (!(digit && steps_[step].individual) && end < piece.size() &&
             is_kind(piece, end, kUnicodeNumber) == digit);
    run_step(step + 1, piece.substr(begin, end - begin), at_start && begin == 0, context);
  }
}

// Spaces become the replacement, one is put in front as the scheme says, and with `split` every
// replacement begins a piece.
void PreTokenizer::run_metaspace(size_t step, std::string_view piece, bool at_start,
                                 const Context& context) const {
  const Step& s = steps_[step];
  const bool marked = piece[0] == ' ' || piece.starts_with(s.replacement);
  const bool prepend =
      s.scheme == PrependScheme::kAlways || (s.scheme == PrependScheme::kFirst && at_start);
  std::string& text = context.kept.emplace_back();
  text.reserve(piece.size() + piece.size() / 4);
  if (prepend && !marked) text += s.replacement;
  for (size_t begin = 0; begin < piece.size();) {
    const size_t space = std::min(piece.find(' ', begin), piece.size());
    text += piece.substr(begin, space - begin);
    if (space < piece.size()) text += s.replacement;
    begin = space + 1;
  }
  if (!s.split) return run_step(step + 1, text, at_start, context);
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = std::min(text.find(s.replacement, begin + 1), text.size());
    run_step(step + 1, std::string_view(text).substr(begin, end - begin), at_start && begin == 0,
             context);
  }
}

}  // namespace lamina
