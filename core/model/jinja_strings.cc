// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_strings.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/utf8.h"

namespace lamina::jinja {

namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
// Bytes of other scripts count as letters, so that a word is not cut at an accent.
bool is_letter(char c) { return is_upper(c) || is_lower(c) || (c & 0x80) != 0; }
char to_upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }
char to_lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

template <typename StartsWord>
Text title(const Text& text, StartsWord starts_word) {
  std::string bytes(text.bytes());
  char before = ' ';
  for (char& c : bytes) {
    const char original = c;
    c = starts_word(before) ? to_upper(c) : to_lower(c);
    before = original;
  }
  return text.with_bytes(std::move(bytes));
}

// Pieces of a text, each checked against the budget as it is cut.
class Cutter {
 public:
  Cutter(Budget& budget, const Text& text) : budget_(budget), text_(text) {}
  Result<void> cut(size_t begin, size_t end) {
    Text piece = text_.slice(begin, end);
    bytes_ += piece.footprint();
    LAMINA_TRY(budget_.check_bytes(bytes_));
    pieces_.push_back(std::move(piece));
    return {};
  }
  std::vector<Text> take(bool reversed) {
    if (reversed) std::reverse(pieces_.begin(), pieces_.end());
    return std::move(pieces_);
  }

 private:
  Budget& budget_;
  const Text& text_;
  size_t bytes_ = 0;
  std::vector<Text> pieces_;
};

size_t next_space(std::string_view text, size_t i) {
  while (i < text.size()) {
    const CodePoint c = decode_utf8(text, i);
    if (is_space(c.value)) return i;
    i += c.bytes;
  }
  return text.size();
}

// Where the word that ends at `end` begins.
size_t word_begin(std::string_view text, size_t end) {
  while (end > 0) {
    size_t last = end - 1;
    while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    if (is_space(decode_utf8(text, last).value)) return end;
    end = last;
  }
  return 0;
}

bool is_line_break(uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

}  // namespace

Text upper(const Text& text) {
  std::string bytes(text.bytes());
  std::transform(bytes.begin(), bytes.end(), bytes.begin(), to_upper);
  return text.with_bytes(std::move(bytes));
}

Text lower(const Text& text) {
  std::string bytes(text.bytes());
  std::transform(bytes.begin(), bytes.end(), bytes.begin(), to_lower);
  return text.with_bytes(std::move(bytes));
}

Text capitalize(const Text& text) {
  std::string bytes(text.bytes());
  std::transform(bytes.begin(), bytes.end(), bytes.begin(), to_lower);
  if (!bytes.empty()) bytes[0] = to_upper(bytes[0]);
  return text.with_bytes(std::move(bytes));
}

Text title_method(const Text& text) {
  return title(text, [](char before) { return !is_letter(before); });
}

Text title_filter(const Text& text) {
  static constexpr std::string_view kStarters = " \t\n\r\f\v-([{<";
  return title(text, [](char before) { return kStarters.find(before) != std::string_view::npos; });
}

Result<void> spend_search(Budget& budget, size_t text_bytes, size_t needle_bytes) {
  return budget.spend_steps((1 + text_bytes / 32) * (1 + needle_bytes / 32));
}

Result<Text> replace(Budget& budget, const Text& text, const Text& old, const Text& with,
                     int64_t count) {
  LAMINA_TRY(spend_search(budget, text.size(), old.size()));
  Text out;
  size_t done = 0;   // everything before is in `out`
  size_t from = 0;   // where the next occurrence may begin
  for (; count != 0; --count) {
    const size_t found = text.bytes().find(old.bytes(), from);
    if (found == std::string_view::npos) break;
    LAMINA_TRY(budget.spend_steps(1));
    LAMINA_TRY(budget.check_bytes(out.size() + (found - done) + with.size()));
    out.append(text, done, found);
    out.append(with);
    done = found + old.size();
    from = done;
    if (!old.empty()) continue;
    if (found >= text.size()) break;
    from += decode_utf8(text.bytes(), found).bytes;
  }
  out.append(text, done, text.size());
  return out;
}

Result<std::vector<Text>> split(Budget& budget, const Text& text, int64_t most, bool from_right) {
  LAMINA_TRY(budget.spend_scan(text.size()));
  Cutter cutter(budget, text);
  ByteRange rest = strip_space(text.bytes(), true, true);
  const std::string_view bytes = text.bytes();
  for (; rest.begin < rest.end && most != 0; --most) {
    const std::string_view inner = bytes.substr(0, rest.end);
    if (from_right) {
      const size_t begin = std::max(word_begin(inner, rest.end), rest.begin);
      LAMINA_TRY(cutter.cut(begin, rest.end));
      rest.end =
          rest.begin + strip_space(bytes.substr(rest.begin, begin - rest.begin), false, true).end;
    } else {
      const size_t end = next_space(inner, rest.begin);
      LAMINA_TRY(cutter.cut(rest.begin, end));
      rest.begin = end + strip_space(inner.substr(end), true, false).begin;
    }
  }
  if (rest.begin < rest.end) {
    // The remainder keeps the white space at its outer end.
    const size_t begin = from_right ? 0 : rest.begin;
    const size_t end = from_right ? rest.end : bytes.size();
    LAMINA_TRY(cutter.cut(begin, end));
  }
  return cutter.take(from_right);
}

Result<std::vector<Text>> split_at(Budget& budget, const Text& text, std::string_view separator,
                                   int64_t most, bool from_right) {
  if (separator.empty()) return make_error(Code::kInvalidModel, "split: the separator is empty");
  LAMINA_TRY(spend_search(budget, text.size(), separator.size()));
  Cutter cutter(budget, text);
  size_t begin = 0;
  size_t end = text.size();
  for (; most != 0; --most) {
    const std::string_view rest = text.bytes().substr(begin, end - begin);
    const size_t found = from_right ? rest.rfind(separator) : rest.find(separator);
    if (found == std::string_view::npos) break;
    const size_t cut = begin + found;
    if (from_right) {
      LAMINA_TRY(cutter.cut(cut + separator.size(), end));
      end = cut;
    } else {
      LAMINA_TRY(cutter.cut(begin, cut));
      begin = cut + separator.size();
    }
  }
  LAMINA_TRY(cutter.cut(begin, end));
  return cutter.take(from_right);
}

Result<std::vector<Text>> split_lines(Budget& budget, const Text& text, bool keep_ends) {
  LAMINA_TRY(budget.spend_scan(text.size()));
  Cutter cutter(budget, text);
  const std::string_view bytes = text.bytes();
  size_t begin = 0;
  for (size_t i = 0; i < bytes.size();) {
    const CodePoint c = decode_utf8(bytes, i);
    size_t next = i + c.bytes;
    if (!is_line_break(c.value)) {
      i = next;
      continue;
    }
    if (c.value == '\r' && next < bytes.size() && bytes[next] == '\n') ++next;
    LAMINA_TRY(cutter.cut(begin, keep_ends ? next : i));
    begin = i = next;
  }
  if (begin < bytes.size()) LAMINA_TRY(cutter.cut(begin, bytes.size()));
  return cutter.take(false);
}

Result<Text> repeat(Budget& budget, const Text& text, int64_t count) {
  Text out;
  if (count <= 0 || text.empty()) return out;
  if (static_cast<uint64_t>(count) > UINT32_MAX / text.size()) {
    return make_error(Code::kResourceExhausted, "a repeated string would be too long");
  }
  LAMINA_TRY(budget.check_bytes(static_cast<uint64_t>(count) * text.size()));
  LAMINA_TRY(budget.spend_steps(static_cast<uint64_t>(count)));
  for (int64_t i = 0; i < count; ++i) out.append(text);
  return out;
}

}  // namespace lamina::jinja
