// SPDX-License-Identifier: Apache-2.0
// Outside tags, text runs to the next "{{", "{%" or "{#". Which white space around a tag is
// dropped:
//   "{%-" drops all before it, "-%}" all after it; so do "{{-", "-}}", "{#-" and "-#}";
//   "%}" and "#}" drop one newline after them, unless written "+%}";
//   "{%" and "{#" drop the spaces before them when nothing else stands on their line, unless
//   written "{%+".
#include "core/model/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/base/utf8.h"
#include "core/model/jinja_text.h"

namespace lamina::jinja {

namespace {

// Longest first, so that the first that fits is right.
constexpr std::array<std::string_view, 26> kOperators = {
    "==", "!=", ">=", "<=", "//", "**", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"};
constexpr size_t kMaxNumberChars = 40;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// One "\n" for every way to end a line, and none at the very end.
std::string normalized_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}
  Result<std::vector<Token>> run();

 private:
  std::string_view from(size_t i) const { return std::string_view(source_).substr(i); }
  std::string_view rest() const { return from(at_); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }
  char here() const { return at_ < source_.size() ? source_[at_] : '\0'; }
  Error fail(const char* what) const;
  Error fail_at(uint32_t line, const char* what) const;
  void advance(size_t to);  // counts lines
  size_t space_from(size_t i) const;  // one past the white space at i
  void skip_space();
  void emit(TokenKind kind, std::string text = {});
  void emit_data(size_t begin, size_t end);

  Result<void> data();
  size_t trimmed_end(size_t begin, size_t tag) const;
  Result<void> comment();
  Result<bool> raw();
  Result<void> raw_body(uint32_t line);
  Result<void> tag();
  bool end_of_tag(bool is_block);
  bool close_block_like(std::string_view close);
  Result<void> inside();
  void name();
  Result<void> number();
  Result<void> based_integer(int base);
  size_t digits_from(size_t i) const;
  Result<void> string();
  Result<size_t> escape(std::string_view body, size_t i, std::string& out) const;
  Result<void> op();

  std::string source_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  bool line_starting_ = true;  // the last tag ended with, or ate, a newline
  std::vector<char> open_;     // brackets that await their partner
  std::vector<Token> tokens_;
};

Error Lexer::fail_at(uint32_t line, const char* what) const {
  return make_error(Code::kInvalidModel, "line %u: %s", line, what);
}

Error Lexer::fail(const char* what) const { return fail_at(line_, what); }

void Lexer::advance(size_t to) {
  line_ += static_cast<uint32_t>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                            source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
  at_ = to;
}

size_t Lexer::space_from(size_t i) const { return i + strip_space(from(i), true, false).begin; }

void Lexer::skip_space() { advance(space_from(at_)); }

void Lexer::emit(TokenKind kind, std::string text) {
  Token token;
  token.kind = kind;
  token.line = line_;
  token.text = std::move(text);
  tokens_.push_back(std::move(token));
}

void Lexer::emit_data(size_t begin, size_t end) {
  if (begin < end) emit(TokenKind::kData, source_.substr(begin, end - begin));
}

// Where the text [begin, tag) before the tag at `tag` ends once white space is dropped.
size_t Lexer::trimmed_end(size_t begin, size_t tag) const {
  const std::string_view text = std::string_view(source_).substr(begin, tag - begin);
  const char kind = source_[tag + 1];
  const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
  if (sign == '-') return begin + strip_space(text, false, true).end;
  if (sign == '+' || kind == '{') return tag;
  const size_t newline = text.rfind('\n');
  if (newline == std::string_view::npos && !line_starting_) return tag;
  const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  return strip_space(text, false, true).end <= line_begin ? begin + line_begin : tag;
}

// Text up to the next tag.
Result<void> Lexer::data() {
  size_t tag = at_;
  for (;; ++tag) {
    tag = source_.find('{', tag);
    if (tag == std::string::npos || tag + 1 >= source_.size()) {
      emit_data(at_, source_.size());
      advance(source_.size());
      return {};
    }
    const char kind = source_[tag + 1];
    if (kind == '{' || kind == '%' || kind == '#') break;
  }
  emit_data(at_, trimmed_end(at_, tag));
  advance(tag);
  return {};
}

// At the end of a block or comment: eats it and the white space that goes with it.
bool Lexer::close_block_like(std::string_view close) {
  const size_t begin = at_;
  const bool minus = here() == '-';
  const bool plus = here() == '+';
  if (!rest().substr(minus || plus ? 1 : 0).starts_with(close)) return false;
  advance(at_ + close.size() + (minus || plus ? 1 : 0));
  if (minus) {
    skip_space();
  } else if (!plus && here() == '\n') {
    advance(at_ + 1);
  }
  line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
  return true;
}

Result<void> Lexer::comment() {
  const uint32_t line = line_;
  advance(at_ + 2);
  if (here() == '-' || here() == '+') advance(at_ + 1);
  const size_t end = source_.find("#}", at_);
  if (end == std::string::npos) return fail_at(line, "a comment {# is not closed by #}");
  const bool sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
  advance(end - (sign ? 1 : 0));
  close_block_like("#}");
  return {};
}

// {% raw %}...{% endraw %}: true if one stood here and was eaten.
Result<bool> Lexer::raw() {
  const size_t start = at_;
  const uint32_t line = line_;
  advance(at_ + 2);
  if (here() == '-' || here() == '+') advance(at_ + 1);
  skip_space();
  const bool named = looking_at("raw");
  if (named) advance(at_ + 3);
  if (named) skip_space();
  const bool minus = looking_at("-%}");
  if (!named || !(minus || looking_at("%}"))) {
    at_ = start;
    line_ = line;
    return false;
  }
  advance(at_ + (minus ? 3 : 2));
  if (minus) skip_space();
  line_starting_ = source_[at_ - 1] == '\n';
  LAMINA_TRY(raw_body(line));
  return true;
}

Result<void> Lexer::raw_body(uint32_t line) {
  const size_t begin = at_;
  for (size_t tag = source_.find("{%", at_); tag != std::string::npos;
       tag = source_.find("{%", tag + 1)) {
    size_t i = tag + 2;
    if (i < source_.size() && (source_[i] == '-' || source_[i] == '+')) ++i;
    i = space_from(i);
    if (!from(i).starts_with("endraw")) continue;
    i = space_from(i + 6);
    if (!from(i).starts_with("%}") && !from(i).starts_with("-%}") && !from(i).starts_with("+%}")) {
      continue;
    }
    emit_data(begin, trimmed_end(begin, tag));
    advance(i);
    close_block_like("%}");
    return {};
  }
  return fail_at(line, "{% raw %} is not closed by {% endraw %}");
}

bool Lexer::end_of_tag(bool is_block) {
  if (!open_.empty()) return false;
  if (is_block) return close_block_like("%}");
  const bool minus = looking_at("-}}");
  if (!minus && !looking_at("}}")) return false;
  advance(at_ + (minus ? 3 : 2));
  if (minus) skip_space();
  line_starting_ = source_[at_ - 1] == '\n';
  return true;
}

Result<void> Lexer::tag() {
  const bool is_block = source_[at_ + 1] == '%';
  if (is_block) {
    LAMINA_ASSIGN(const bool was_raw, raw());
    if (was_raw) return {};
  }
  const uint32_t line = line_;
  emit(is_block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin);
  advance(at_ + 2);
  if (here() == '-' || here() == '+') advance(at_ + 1);
  for (;;) {
    skip_space();
    if (end_of_tag(is_block)) break;
    if (at_ >= source_.size()) {
      return fail_at(line, is_block ? "a tag {% is not closed by %}"
                                    : "an expression {{ is not closed by }}");
    }
    LAMINA_TRY(inside());
  }
  emit(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd);
  return {};
}

Result<void> Lexer::inside() {
  const char c = here();
  if (is_digit(c)) return number();
  if (c == '"' || c == '\'') return string();
  if (!is_name_char(c)) return op();
  name();
  return {};
}

void Lexer::name() {
  size_t end = at_;
  while (end < source_.size() && is_name_char(source_[end])) ++end;
  emit(TokenKind::kName, source_.substr(at_, end - at_));
  at_ = end;
}

// One past digits with single underscores between them; i itself if there are none.
size_t Lexer::digits_from(size_t i) const {
  while (i < source_.size() && is_digit(source_[i])) {
    ++i;
    if (i + 1 < source_.size() && source_[i] == '_' && is_digit(source_[i + 1])) ++i;
  }
  return i;
}

Result<void> Lexer::number() {
  if (here() == '0' && at_ + 1 < source_.size()) {
    const char letter = static_cast<char>(source_[at_ + 1] | 0x20);
    if (letter == 'x') return based_integer(16);
    if (letter == 'o') return based_integer(8);
    if (letter == 'b') return based_integer(2);
  }
  const size_t whole = digits_from(at_);
  size_t end = whole;
  // After a dot ("row.0.1") a number is an index, never a fraction.
  const bool may_be_float = at_ == 0 || source_[at_ - 1] != '.';
  if (may_be_float && end < source_.size() && source_[end] == '.') {
    const size_t fraction = digits_from(end + 1);
    if (fraction > end + 1) end = fraction;
  }
  if (may_be_float && end < source_.size() && (source_[end] | 0x20) == 'e') {
    size_t i = end + 1;
    if (i < source_.size() && (source_[i] == '+' || source_[i] == '-')) ++i;
    if (digits_from(i) > i) end = digits_from(i);
  }
  std::string digits = source_.substr(at_, end - at_);
  std::erase(digits, '_');
  if (digits.size() > kMaxNumberChars) return fail("a number has too many digits");
  emit(end == whole ? TokenKind::kInteger : TokenKind::kFloat);
  Token& token = tokens_.back();
  at_ = end;
  if (token.kind == TokenKind::kFloat) {
    token.number = std::strtod(digits.c_str(), nullptr);
    return {};
  }
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), token.integer);
  if (error != std::errc()) return fail("an integer does not fit 64 bits");
  if (digits.size() > 1 && digits[0] == '0' && token.integer != 0) {
    return fail("an integer has leading zeros");
  }
  return {};
}

Result<void> Lexer::based_integer(int base) {
  size_t end = at_ + 2;
  while (end < source_.size() && is_name_char(source_[end])) ++end;
  std::string digits = source_.substr(at_ + 2, end - at_ - 2);
  std::erase(digits, '_');
  emit(TokenKind::kInteger);
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(),
                                             tokens_.back().integer, base);
  if (error != std::errc() || stop != digits.data() + digits.size()) {
    return fail("an integer is malformed or does not fit 64 bits");
  }
  at_ = end;
  return {};
}

Result<void> Lexer::string() {
  const char quote_char = here();
  size_t end = at_ + 1;
  while (end < source_.size() && source_[end] != quote_char) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) return fail("a string is not closed");
  const std::string_view body = std::string_view(source_).substr(at_ + 1, end - at_ - 1);
  std::string text;
  for (size_t i = 0; i < body.size();) {
    if (body[i] != '\\') {
      text.push_back(body[i++]);
      continue;
    }
    LAMINA_ASSIGN(i, escape(body, i + 1, text));
  }
  emit(TokenKind::kString, std::move(text));
  advance(end + 1);
  return {};
}

// The escape whose letter is body[i], appended to `out`; gives the offset after it.
Result<size_t> Lexer::escape(std::string_view body, size_t i, std::string& out) const {
  constexpr std::string_view kLetters = "nrtabfv\\'\"";
  constexpr std::string_view kMeanings = "\n\r\t\a\b\f\v\\'\"";
  const char letter = body[i];
  if (letter == '\n') return i + 1;  // a continued line
  if (const size_t k = kLetters.find(letter); k != std::string_view::npos) {
    out.push_back(kMeanings[k]);
    return i + 1;
  }
  size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
  const int base = digits > 0 ? 16 : 8;
  size_t begin = i + 1;
  if (letter >= '0' && letter <= '7') {
    begin = i;
    while (digits < 3 && i + digits < body.size() && (body[i + digits] & ~7) == '0') ++digits;
  }
  if (digits == 0) {
    if (letter == 'N') return fail("\\N{...} is not supported in strings; write the character");
    out.push_back('\\');  // an unknown escape stands for itself
    return i;
  }
  uint32_t code = 0;
  const std::string_view number = body.substr(begin, digits);
  const auto [stop, error] =
      std::from_chars(number.data(), number.data() + number.size(), code, base);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (number.size() < digits || stop != number.data() + number.size() || error != std::errc() ||
      surrogate || code > 0x10FFFF) {
    return fail("a string has a malformed escape");
  }
  append_utf8(out, code);
  return begin + digits;
}

Result<void> Lexer::op() {
  for (std::string_view op : kOperators) {
    if (!looking_at(op)) continue;
    const char c = op[0];
    if (c == '(') open_.push_back(')');
    if (c == '[') open_.push_back(']');
    if (c == '{') open_.push_back('}');
    if (c == ')' || c == ']' || c == '}') {
      if (open_.empty() || open_.back() != c) return fail("a closing bracket has no partner");
      open_.pop_back();
    }
    emit(TokenKind::kOperator, std::string(op));
    at_ += op.size();
    return {};
  }
  const std::string_view c = rest().substr(0, decode_utf8(source_, at_).bytes);
  return fail(("unexpected character " + quote(c)).c_str());
}

Result<std::vector<Token>> Lexer::run() {
  while (at_ < source_.size()) {
    LAMINA_TRY(data());
    if (at_ >= source_.size()) break;
    if (source_[at_ + 1] == '#') {
      LAMINA_TRY(comment());
    } else {
      LAMINA_TRY(tag());
    }
  }
  emit(TokenKind::kEnd);
  return std::move(tokens_);
}

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  return Lexer(normalized_lines(source)).run();
}

}  // namespace lamina::jinja
