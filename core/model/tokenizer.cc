// SPDX-License-Identifier: Apache-2.0
#include "core/model/tokenizer.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "core/base/utf8.h"
#include "core/model/tokenizer_json.h"

namespace lamina {

namespace {

bool is_ascii(std::string_view text) {
  size_t i = 0;
  uint64_t seen = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    seen |= word;
  }
  for (; i < text.size(); ++i) seen |= static_cast<uint8_t>(text[i]);
  return (seen & 0x8080808080808080) == 0;
}

bool needs_repair(std::string_view text) {
  return !is_ascii(text) && !is_valid_utf8(text);
}

Result<void> check_size(size_t bytes) {
  if (bytes <= Tokenizer::kMaxTextBytes) return {};
  return make_error(Code::kResourceExhausted, "a text of %zu bytes, at most %zu are tokenized",
                    bytes, Tokenizer::kMaxTextBytes);
}

// One encode. Texts that steps make are kept until it ends: the pieces point into them.
class Encoding {
 public:
  // `marks`, unless empty: for each byte, whether special tokens are parsed there.
  Encoding(const TokenizerParts& parts, std::string_view text, std::string_view marks,
           bool parse_special, std::vector<int32_t>& ids)
      : parts_(parts),
        parse_special_(parse_special),
        text_(text),
        marks_(marks),
        ids_(ids),
        scratch_(text.size(), ids) {}

  void run() {
    parts_.raw_added.split(text_, trust(marks_), [this](std::string_view part, int32_t id) {
      if (id >= 0) return ids_.push_back(id);
      add_normalized(part, part.data() == text_.data());
    });
  }

 private:
  Trust trust(std::string_view marks) const {
    return marks.empty() ? Trust(parse_special_) : Trust(marks);
  }

  void add_normalized(std::string_view part, bool at_start) {
    std::string marks;
    if (!marks_.empty())
      marks = marks_.substr(static_cast<size_t>(part.data() - text_.data()), part.size());
    if (!parts_.normalizer.empty())
      part = kept_.emplace_back(parts_.normalizer.apply(part, &marks));
    parts_.normalized_added.split(part, trust(marks), [&](std::string_view text, int32_t id) {
      if (id >= 0) return ids_.push_back(id);
      add_text(text, at_start && text.data() == part.data());
    });
  }

  void add_text(std::string_view text, bool at_start) {
    if (parts_.pre_tokenizer.n_steps() == 0) return parts_.bpe.encode(text, scratch_);
    parts_.pre_tokenizer.run(text, at_start, kept_, [this](std::string_view piece) {
      parts_.bpe.encode(piece, scratch_);
    });
  }

  const TokenizerParts& parts_;
  bool parse_special_;
  std::string_view text_;
  std::string_view marks_;
  std::vector<int32_t>& ids_;
  Bpe::Scratch scratch_;
  std::deque<std::string> kept_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_json(std::string_view json_text, std::string_view file_name) {
  LAMINA_ASSIGN(auto parts, parse_tokenizer_json(json_text, file_name, kMaxJsonBytes));
  return Tokenizer(std::move(parts));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  LAMINA_TRY(check_size(text.size()));
  if (!needs_repair(text)) return encode_valid(text, {}, options);
  return encode_valid(repaired_utf8(text), {}, options);
}

Result<std::vector<int32_t>> Tokenizer::encode(std::span<const TextSegment> segments,
                                               bool add_special) const {
  size_t bytes = 0;
  for (const TextSegment& s : segments) {
    LAMINA_TRY(check_size(s.text.size()));
    bytes += s.text.size();
    LAMINA_TRY(check_size(bytes));
  }
  std::string text, marks;
  text.reserve(bytes);
  marks.reserve(bytes);
  for (const TextSegment& s : segments) {
    if (needs_repair(s.text)) {
      text += repaired_utf8(s.text);
    } else {
      text += s.text;
    }
    marks.resize(text.size(), static_cast<char>(s.parse_special));
  }
  return encode_valid(text, marks, {add_special, false});
}

// `marks` as Encoding has them. REQUIRES: `text` is valid UTF-8.
std::vector<int32_t> Tokenizer::encode_valid(std::string_view text, std::string_view marks,
                                             const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  if (options.add_special) ids = parts_->prefix;
  Encoding(*parts_, text, marks, options.parse_special, ids).run();
  if (options.add_special) ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  return ids;
}

void Tokenizer::push_to(DecodeStream& stream, int32_t id, const DecodeOptions& options,
                        std::string& text) const {
  if (!parts_->has(id, TokenizerParts::kKnown)) return;
  if (options.skip_special && is_special(id)) return;
  if (stream.at_first() && parts_->decode.has_first_form()) {
    const std::string_view token = parts_->text(id);
    text += stream.push(parts_->decode, parts_->decode.piece_of(token, true),
                        parts_->decode.is_byte(token, true));
    return;
  }
  text += stream.push(parts_->decode, token_bytes(id), parts_->has(id, TokenizerParts::kByte));
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  DecodeStream stream;
  std::string text;
  for (const int32_t id : ids) push_to(stream, id, options, text);
  return text + stream.finish(parts_->decode);
}

std::string Tokenizer::StreamDecoder::push(int32_t id) {
  std::string text;
  tokenizer_->push_to(stream_, id, options_, text);
  return text;
}

std::string Tokenizer::StreamDecoder::finish() {
  return stream_.finish(tokenizer_->parts_->decode);
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (!parts_->has(id, TokenizerParts::kKnown)) return {};
  const size_t begin = parts_->piece_offsets[static_cast<size_t>(id)];
  const size_t end = parts_->piece_offsets[static_cast<size_t>(id) + 1];
  return std::string_view(parts_->pieces).substr(begin, end - begin);
}

std::string_view Tokenizer::token_text(int32_t id) const {
  return parts_->text(id);
}

std::optional<int32_t> Tokenizer::token_id(std::string_view text) const {
  for (const TokenTable* table : {&parts_->bpe.vocabulary(), &parts_->extra}) {
    const int32_t id = table->find(text);
    if (id >= 0) return id;
  }
  return std::nullopt;
}

bool Tokenizer::is_special(int32_t id) const {
  return parts_->has(id, TokenizerParts::kSpecial);
}

int32_t Tokenizer::vocab_size() const {
  return parts_->id_limit;
}

}  // namespace lamina
