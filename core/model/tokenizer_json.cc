// SPDX-License-Identifier: Apache-2.0
#include "core/model/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>

namespace lamina {

namespace {

constexpr size_t kMaxDepth = 32;

bool lower_id(const TokenTable::Item& a, const TokenTable::Item& b) {
  return a.id < b.id;
}

// model.vocab by ascending id. The texts are the document's.
Result<std::vector<TokenTable::Item>> parse_vocabulary(JsonValue model) {
  LAMINA_ASSIGN(const JsonValue vocab, model.get_object("vocab"));
  std::vector<TokenTable::Item> items;
  items.reserve(vocab.size());
  for (JsonValue v = vocab.first_child(); !v.is_missing(); v = v.next_sibling()) {
    LAMINA_ASSIGN(const int64_t id, v.to_int(0, Bpe::kMaxIds - 1));
    if (v.key().empty()) return v.error(Code::kInvalidModel, "the text of a token is empty");
    items.push_back({v.key(), static_cast<int32_t>(id)});
  }
  if (items.empty()) return vocab.error(Code::kInvalidModel, "there are no tokens");
  if (!std::is_sorted(items.begin(), items.end(), lower_id)) {
    std::stable_sort(items.begin(), items.end(), lower_id);
  }
  for (size_t i = 1; i < items.size(); ++i) {
    if (items[i].id != items[i - 1].id) continue;
    return vocab.error(Code::kInvalidModel, "the tokens " + quote(items[i - 1].text) + " and " +
                                                quote(items[i].text) + " both have id " +
                                                std::to_string(items[i].id));
  }
  return items;
}

struct MergeTexts {
  std::string_view left, right;
};

// "left right" or ["left", "right"].
Result<MergeTexts> parse_merge(JsonValue v) {
  if (v.is_string()) {
    const std::string_view text = v.as_string();
    const size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return MergeTexts{text.substr(0, space), text.substr(space + 1)};
    }
  } else if (v.is_array() && v.size() == 2) {
    const JsonValue left = v.first_child();
    const JsonValue right = left.next_sibling();
    if (left.is_string() && right.is_string()) {
      return MergeTexts{left.as_string(), right.as_string()};
    }
  }
  return v.error(Code::kInvalidModel, "a merge is \"left right\" or [\"left\", \"right\"]");
}

// Merges go into the model in batches: there are hundreds of thousands, and the tables that they
// are looked up in exceed the caches.
class MergeBatch {
 public:
  explicit MergeBatch(Bpe& bpe) : bpe_(bpe) {}

  Result<void> add(JsonValue v, const MergeTexts& merge) {
    values_[n_] = v;
    joined_[n_].assign(merge.left).append(merge.right);
    texts_[3 * n_] = merge.left;
    texts_[3 * n_ + 1] = merge.right;
    texts_[3 * n_ + 2] = joined_[n_];
    return ++n_ == kMerges ? flush() : Result<void>();
  }

  Result<void> flush() {
    const std::span<int32_t> ids(ids_.data(), 3 * n_);
    bpe_.vocabulary().find(std::span(texts_.data(), 3 * n_), ids);
    for (size_t i = 0; i < n_; ++i) bpe_.prefetch_merge(ids[3 * i], ids[3 * i + 1]);
    for (size_t i = 0; i < 3 * n_; ++i) {
      if (ids[i] >= 0) continue;
      return values_[i / 3].error(Code::kInvalidModel, quote(texts_[i]) + " is not in model.vocab");
    }
    for (size_t i = 0; i < n_; ++i) {
      if (!bpe_.add_merge(ids[3 * i], ids[3 * i + 1], ids[3 * i + 2])) {
        return values_[i].error(Code::kInvalidModel, "the merges collide in hashing");
      }
    }
    n_ = 0;
    return {};
  }

 private:
  static constexpr size_t kMerges = TokenTable::kMostAtOnce / 3;

  Bpe& bpe_;
  size_t n_ = 0;
  std::array<JsonValue, kMerges> values_;
  std::array<std::string, kMerges> joined_;
  std::array<std::string_view, 3 * kMerges> texts_;  // left, right, both joined
  std::array<int32_t, 3 * kMerges> ids_{};
};

Result<void> parse_merges(JsonValue model, Bpe& bpe) {
  LAMINA_ASSIGN(const JsonValue merges, model.get_array("merges"));
  if (merges.size() > Bpe::kMaxMerges) {
    return merges.error(Code::kInvalidModel,
                        "at most " + std::to_string(Bpe::kMaxMerges) + " merges are read");
  }
  bpe.reserve_merges(merges.size());
  MergeBatch batch(bpe);
  for (JsonValue v = merges.first_child(); !v.is_missing(); v = v.next_sibling()) {
    if (v.is_string() && v.as_string().starts_with("#version")) continue;
    LAMINA_ASSIGN(const MergeTexts merge, parse_merge(v));
    LAMINA_TRY(batch.add(v, merge));
  }
  return batch.flush();
}

Result<BpeOptions> parse_bpe_options(JsonValue model, bool byte_level) {
  LAMINA_ASSIGN(const std::string type, model.get_string_or("type", "BPE"));
  if (type != "BPE") return model.find("type").error(Code::kUnsupported, "only BPE is supported");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    LAMINA_ASSIGN(const std::string affix, model.get_string_or(name, ""));
    if (!affix.empty()) return model.find(name).error(Code::kUnsupported, "not supported");
  }
  LAMINA_ASSIGN(const double dropout, model.get_double_or("dropout", 0, 0, 1));
  if (dropout != 0) {
    return model.find("dropout").error(Code::kUnsupported, "tokenizing at random is not supported");
  }
  BpeOptions options;
  options.byte_level = byte_level;
  LAMINA_ASSIGN(options.byte_fallback, model.get_bool_or("byte_fallback", false));
  LAMINA_ASSIGN(options.fuse_unk, model.get_bool_or("fuse_unk", false));
  LAMINA_ASSIGN(options.ignore_merges, model.get_bool_or("ignore_merges", false));
  return options;
}

Result<Bpe> parse_bpe(JsonValue model, bool byte_level, const std::string& file_name) {
  LAMINA_ASSIGN(BpeOptions options, parse_bpe_options(model, byte_level));
  LAMINA_ASSIGN(const auto items, parse_vocabulary(model));
  LAMINA_ASSIGN(const std::string unk, model.get_string_or("unk_token", ""));
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const TokenTable::Item& i) { return i.text == unk; });
  if (found != items.end()) options.unk_id = found->id;
  LAMINA_ASSIGN(Bpe bpe, Bpe::create(items, options, file_name));
  if (!unk.empty() && options.unk_id < 0 && !bpe.covers_all()) {
    return model.find("unk_token").error(Code::kInvalidModel, "is not in model.vocab");
  }
  LAMINA_TRY(parse_merges(model, bpe));
  return bpe;
}

Result<AddedToken> parse_added_token(JsonValue v) {
  AddedToken token;
  LAMINA_ASSIGN(const int64_t id, v.get_int("id", 0, Bpe::kMaxIds - 1));
  token.id = static_cast<int32_t>(id);
  LAMINA_ASSIGN(token.content, v.get_string("content"));
  if (token.content.empty() || token.content.size() > AddedTokenMatcher::kMaxContentBytes) {
    return v.find("content").error(Code::kInvalidModel, "must have 1 to 512 bytes");
  }
  LAMINA_ASSIGN(token.single_word, v.get_bool_or("single_word", false));
  LAMINA_ASSIGN(token.lstrip, v.get_bool_or("lstrip", false));
  LAMINA_ASSIGN(token.rstrip, v.get_bool_or("rstrip", false));
  LAMINA_ASSIGN(token.special, v.get_bool_or("special", false));
  LAMINA_ASSIGN(token.normalized, v.get_bool_or("normalized", !token.special));
  return token;
}

// Text and id belong together, here and in the vocabulary.
Result<void> check_identity(JsonValue v, const AddedToken& token, const TokenTable& vocabulary) {
  const int32_t other_id = vocabulary.find(token.content);
  if (other_id >= 0 && other_id != token.id) {
    return v.find("id").error(
        Code::kInvalidModel,
        quote(token.content) + " has id " + std::to_string(other_id) + " in model.vocab");
  }
  const std::string_view other = vocabulary.text(token.id);
  if (!other.empty() && other != token.content) {
    return v.find("id").error(Code::kInvalidModel, quote(token.content) + " has the id of " +
                                                       quote(other) + " in model.vocab");
  }
  return {};
}

Result<void> add_to_matcher(JsonValue v, const AddedToken& token, TokenizerParts& parts) {
  AddedTokenMatcher& matcher = token.normalized ? parts.normalized_added : parts.raw_added;
  const std::string pattern =
      token.normalized ? parts.normalizer.apply(token.content) : token.content;
  if (pattern.empty() || pattern.size() > AddedTokenMatcher::kMaxContentBytes) {
    return v.find("content").error(Code::kInvalidModel, "must have 1 to 512 bytes normalized");
  }
  if (!matcher.add(token, pattern)) {
    return v.error(Code::kInvalidModel, "the added tokens collide in hashing");
  }
  return {};
}

Result<std::vector<AddedToken>> parse_added_tokens(JsonValue list, TokenizerParts& parts) {
  std::vector<AddedToken> tokens;
  if (list.is_absent()) return tokens;
  if (!list.is_array()) return list.error(Code::kInvalidModel, "an array is needed");
  std::map<int32_t, std::string> by_id;
  std::map<std::string, int32_t> by_text;
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    LAMINA_ASSIGN(AddedToken token, parse_added_token(v));
    LAMINA_TRY(check_identity(v, token, parts.bpe.vocabulary()));
    const bool new_id = by_id.emplace(token.id, token.content).second;
    const bool new_text = by_text.emplace(token.content, token.id).second;
    if (!new_id && !new_text && by_text[token.content] == token.id) continue;  // said twice
    if (!new_id || !new_text) {
      return v.error(Code::kInvalidModel, "the id " + std::to_string(token.id) + " or the text " +
                                              quote(token.content) + " stands there twice");
    }
    LAMINA_TRY(add_to_matcher(v, token, parts));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// The tables by id. What an added token is called wins, but it is the vocabulary's name anyway.
Result<void> index_tokens(std::vector<AddedToken> added, TokenizerParts& parts,
                          const std::string& file_name) {
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  std::vector<TokenTable::Item> extra;
  for (const AddedToken& token : added) {
    if (parts.bpe.vocabulary().text(token.id).empty()) extra.push_back({token.content, token.id});
  }
  if (!parts.extra.build(extra)) {
    return make_error(Code::kInvalidModel, "%s: the added_tokens collide in hashing",
                      file_name.c_str());
  }
  parts.id_limit = std::max(parts.bpe.vocabulary().id_limit(), parts.extra.id_limit());
  parts.flags.assign(static_cast<size_t>(parts.id_limit), 0);
  for (const AddedToken& token : added) {
    if (token.special) parts.flags[static_cast<size_t>(token.id)] |= TokenizerParts::kSpecial;
  }
  for (int32_t id = 0; id < parts.id_limit; ++id) {
    if (!parts.text(id).empty()) parts.flags[static_cast<size_t>(id)] |= TokenizerParts::kKnown;
  }
  return {};
}

void make_pieces(TokenizerParts& parts) {
  parts.piece_offsets.reserve(static_cast<size_t>(parts.id_limit) + 1);
  for (int32_t id = 0; id < parts.id_limit; ++id) {
    parts.piece_offsets.push_back(static_cast<uint32_t>(parts.pieces.size()));
    const std::string_view text = parts.text(id);
    if (text.empty()) continue;
    parts.pieces += parts.decode.piece_of(text, false);
    if (parts.decode.is_byte(text, false)) {
      parts.flags[static_cast<size_t>(id)] |= TokenizerParts::kByte;
    }
  }
  parts.piece_offsets.push_back(static_cast<uint32_t>(parts.pieces.size()));
}

}  // namespace

std::string_view TokenizerParts::text(int32_t id) const {
  const std::string_view known = bpe.vocabulary().text(id);
  return known.empty() ? extra.text(id) : known;
}

Result<std::unique_ptr<TokenizerParts>> parse_tokenizer_json(std::string_view text,
                                                             std::string_view file_name,
                                                             size_t max_bytes) {
  JsonLimits limits;
  limits.max_bytes = max_bytes;
  limits.max_depth = kMaxDepth;
  LAMINA_ASSIGN(const auto document, JsonDocument::parse(text, file_name, limits));
  const JsonValue root = document->root();
  LAMINA_ASSIGN(const JsonValue model, root.get_object("model"));
  auto parts = std::make_unique<TokenizerParts>();
  LAMINA_TRY(parse_normalizer(root.find("normalizer"), parts->normalizer));
  LAMINA_TRY(parse_pre_tokenizer(root.find("pre_tokenizer"), parts->pre_tokenizer));
  LAMINA_ASSIGN(parts->bpe, parse_bpe(model, parts->pre_tokenizer.byte_level(), document->name()));
  LAMINA_ASSIGN(auto added, parse_added_tokens(root.find("added_tokens"), *parts));
  LAMINA_TRY(index_tokens(std::move(added), *parts, document->name()));
  LAMINA_TRY(parse_post_processor(root.find("post_processor"), *parts));
  LAMINA_TRY(parse_decoder(root.find("decoder"), parts->decode));
  make_pieces(*parts);
  return parts;
}

}  // namespace lamina
