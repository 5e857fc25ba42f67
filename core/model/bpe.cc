// SPDX-License-Identifier: Apache-2.0
// Three things make it fast and none changes the result. Pieces seen before in the same call are
// copied. Long pieces (a whole text, where no pre-tokenizer cuts) are cut between characters that
// no merge joins: merges on both sides are then independent. What is left is merged by scanning for
// the lowest rank when short, with a heap when long, so that no text takes quadratic time.
#include "core/model/bpe.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <functional>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/model/utf8_scan.h"

namespace lamina {

namespace {

constexpr size_t kSeenBytes = 48;      // longer segments are not remembered
constexpr size_t kMostSeen = 1 << 14;  // slots
constexpr size_t kShortSymbols = 64;   // merged by scanning
constexpr uint32_t kNowhere = ~uint32_t{0};

constexpr uint32_t kWordMark = 0x2581;  // what SentencePiece writes for a space
constexpr uint8_t kWordMarkClass = 0x80;
constexpr uint32_t kSharedClasses = 127;  // 0x81 to 0xFF

uint8_t class_of_char(uint32_t c) {
  if (c < 0x80) return static_cast<uint8_t>(c);
  if (c == kWordMark) return kWordMarkClass;
  return static_cast<uint8_t>(0x81 + c % kSharedClasses);
}

struct ByteAlphabet {
  std::array<uint16_t, 256> char_of{};
  std::array<int16_t, 512> byte_of{};

  // Printable Latin-1 stands for itself; the other bytes take the characters from U+0100 on.
  constexpr ByteAlphabet() {
    for (auto& byte : byte_of) byte = -1;
    uint16_t next = 0x100;
    for (uint16_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
      char_of[b] = printable ? b : next++;
      byte_of[char_of[b]] = static_cast<int16_t>(b);
    }
  }
};
constexpr ByteAlphabet kByteAlphabet;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

uint32_t byte_level_char(uint8_t byte) {
  return kByteAlphabet.char_of[byte];
}

bool from_byte_level(std::string_view text, std::string& bytes) {
  bytes.clear();
  for (size_t i = 0; i < text.size();) {
    const ScannedChar c = scan_char(text, i);
    if (c.value >= kByteAlphabet.byte_of.size() || kByteAlphabet.byte_of[c.value] < 0) return false;
    bytes.push_back(static_cast<char>(kByteAlphabet.byte_of[c.value]));
    i += c.bytes;
  }
  return true;
}

int byte_of_name(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = hex_digit(token[3]);
  const int low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Bpe::Scratch::Scratch(size_t text_bytes, std::vector<int32_t>& out) : out_(out) {
  seen_.resize(std::bit_ceil(std::clamp<size_t>(text_bytes / 8, 16, kMostSeen)));
  out_.reserve(out_.size() + text_bytes / 4 + 8);
}

Result<Bpe> Bpe::create(const std::vector<TokenTable::Item>& items, const BpeOptions& options,
                        const std::string& file_name) {
  Bpe bpe;
  bpe.options_ = options;
  if (!bpe.vocabulary_.build(items) || !bpe.index_symbols()) {
    return make_error(Code::kInvalidModel, "%s: the tokens of model.vocab collide in hashing",
                      file_name.c_str());
  }
  bpe.cuttable_ = bpe.covers_all_;
  if (!options.byte_level || !options.ignore_merges) return bpe;

  std::vector<std::string> bytes(items.size());
  std::vector<TokenTable::Item> by_bytes;
  for (size_t i = 0; i < items.size(); ++i) {
    if (from_byte_level(items[i].text, bytes[i])) by_bytes.push_back({bytes[i], items[i].id});
  }
  if (!bpe.by_bytes_.build(by_bytes)) {
    return make_error(Code::kInvalidModel, "%s: the tokens of model.vocab collide in hashing",
                      file_name.c_str());
  }
  return bpe;
}

bool Bpe::index_symbols() {
  for (uint32_t b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    fallback_[b] = options_.byte_fallback ? vocabulary_.find(name) : -1;
    std::string character;
    append_utf8(character, options_.byte_level ? byte_level_char(static_cast<uint8_t>(b)) : b);
    single_[b] = options_.byte_level || b < 0x80 ? vocabulary_.find(character) : -1;
  }
  const auto& needed = options_.byte_level ? single_ : fallback_;
  covers_all_ = std::find(needed.begin(), needed.end(), -1) == needed.end();
  if (options_.byte_level) return true;
  for (int32_t id = 0; id < vocabulary_.id_limit(); ++id) {
    const std::string_view text = vocabulary_.text(id);
    if (text.empty() || static_cast<uint8_t>(text[0]) < 0x80) continue;
    const ScannedChar c = scan_char(text, 0);
    if (c.bytes == text.size() && !symbols_.insert(c.value, static_cast<uint64_t>(id)))
      return false;
  }
  return true;
}

bool Bpe::add_merge(int32_t left, int32_t right, int32_t merged) {
  if (n_merges_ >= kMaxMerges) return false;
  const uint64_t value = static_cast<uint64_t>(n_merges_) << 32 | static_cast<uint32_t>(merged);
  if (!merges_.insert(pair_key(left, right), value)) return false;
  ++n_merges_;
  if (!cuttable_) return true;

  // Bytes of an unknown character are symbols that the text does not show.
  const std::string_view left_text = vocabulary_.text(left);
  const std::string_view right_text = vocabulary_.text(right);
  if (options_.byte_fallback && (byte_of_name(left_text) >= 0 || byte_of_name(right_text) >= 0)) {
    cuttable_ = false;
    return true;
  }
  const auto class_at = [&](std::string_view text, size_t i) -> uint8_t {
    const uint32_t c = scan_char(text, i).value;
    if (!options_.byte_level) return class_of_char(c);
    const bool known = c < kByteAlphabet.byte_of.size() && kByteAlphabet.byte_of[c] >= 0;
    return known ? static_cast<uint8_t>(kByteAlphabet.byte_of[c]) : uint8_t{0};  // else unreachable
  };
  const uint8_t a = class_at(left_text, char_before(left_text, left_text.size()));
  const uint8_t b = class_at(right_text, 0);
  joints_[a][b / 64] |= uint64_t{1} << (b % 64);
  return true;
}

uint8_t Bpe::joint_class(std::string_view text, size_t i, size_t& bytes) const {
  const auto lead = static_cast<uint8_t>(text[i]);
  bytes = 1;
  if (lead < 0x80 || options_.byte_level) return lead;
  const ScannedChar c = scan_char(text, i);
  bytes = c.bytes;
  return class_of_char(c.value);
}

size_t Bpe::segment_end(std::string_view piece, size_t begin) const {
  size_t bytes = 0;
  uint8_t left = joint_class(piece, begin, bytes);
  for (size_t i = begin + bytes; i < piece.size(); i += bytes) {
    const uint8_t right = joint_class(piece, i, bytes);
    if (!may_join(left, right)) return i;
    left = right;
  }
  return piece.size();
}

void Bpe::encode(std::string_view piece, Scratch& scratch) const {
  if (piece.size() <= kSeenBytes) return encode_segment(piece, true, scratch);
  if (options_.ignore_merges) {
    const TokenTable& table = options_.byte_level ? by_bytes_ : vocabulary_;
    const int32_t id = piece.size() <= table.longest() ? table.find(piece) : -1;
    if (id >= 0) return scratch.out_.push_back(id);
  }
  if (!cuttable_) return merge_segment(piece, scratch);
  for (size_t begin = 0, end = 0; begin < piece.size(); begin = end) {
    end = segment_end(piece, begin);
    encode_segment(piece.substr(begin, end - begin), false, scratch);
  }
}

// `whole`: the segment is a piece, which ignore_merges may find to be a token.
void Bpe::encode_segment(std::string_view segment, bool whole, Scratch& scratch) const {
  if (segment.size() > kSeenBytes) return merge_segment(segment, scratch);
  const bool as_token = whole && options_.ignore_merges;
  const uint64_t hash = hash_text(segment) + as_token;
  Scratch::Seen& seen = scratch.seen_[(hash >> 32) & (scratch.seen_.size() - 1)];
  std::vector<int32_t>& out = scratch.out_;
  if (seen.hash == hash && std::string_view(seen.text, seen.bytes) == segment) {
    for (size_t i = 0; i < seen.n_ids; ++i) {
      const int32_t id = out[seen.first_id + i];
      out.push_back(id);
    }
    return;
  }
  const size_t first_id = out.size();
  const TokenTable& table = options_.byte_level ? by_bytes_ : vocabulary_;
  const int32_t token = as_token ? table.find(segment) : -1;
  if (token >= 0) {
    out.push_back(token);
  } else {
    merge_segment(segment, scratch);
  }
  seen = {hash, segment.data(), static_cast<uint32_t>(segment.size()),
          static_cast<uint32_t>(out.size() - first_id), first_id};
}

void Bpe::merge_segment(std::string_view segment, Scratch& scratch) const {
  scratch.symbols_.clear();
  make_symbols(segment, scratch.symbols_);
  if (scratch.symbols_.size() <= kShortSymbols) return merge_short(scratch);
  merge_long(scratch);
}

void Bpe::make_symbols(std::string_view segment, std::vector<int32_t>& symbols) const {
  if (!covers_all_) return make_symbols_slow(segment, symbols);
  if (options_.byte_level) {
    for (char c : segment) symbols.push_back(single_[static_cast<uint8_t>(c)]);
    return;
  }
  for (size_t i = 0; i < segment.size();) {
    const std::string_view character = segment.substr(i, scan_char(segment, i).bytes);
    const int32_t id = symbol_of(character);
    if (id >= 0) {
      symbols.push_back(id);
    } else {
      add_fallback(character, symbols);
    }
    i += character.size();
  }
}

int32_t Bpe::symbol_of(std::string_view character) const {
  const auto lead = static_cast<uint8_t>(character[0]);
  if (lead < 0x80) return single_[lead];
  const uint64_t* id = symbols_.find(scan_char(character, 0).value);
  return id ? static_cast<int32_t>(*id) : -1;
}

// Some characters have no symbol. Order as in the reference: an unknown that waits to be fused is
// written when the next known character comes, after the bytes of those that fall back between.
void Bpe::make_symbols_slow(std::string_view segment, std::vector<int32_t>& symbols) const {
  bool waiting = false;
  for (size_t i = 0; i < segment.size();) {
    std::string character;
    int32_t id = -1;
    if (options_.byte_level) {
      const auto byte = static_cast<uint8_t>(segment[i++]);
      append_utf8(character, byte_level_char(byte));
      id = single_[byte];
    } else {
      character = segment.substr(i, scan_char(segment, i).bytes);
      id = symbol_of(character);
      i += character.size();
    }
    if (id < 0 && (add_fallback(character, symbols) || options_.unk_id < 0)) continue;
    if (waiting && (id >= 0 || !options_.fuse_unk)) symbols.push_back(options_.unk_id);
    waiting = id < 0;
    if (id >= 0) symbols.push_back(id);
  }
  if (waiting) symbols.push_back(options_.unk_id);
}

bool Bpe::add_fallback(std::string_view character, std::vector<int32_t>& symbols) const {
  for (char c : character) {
    if (fallback_[static_cast<uint8_t>(c)] < 0) return false;
  }
  for (char c : character) symbols.push_back(fallback_[static_cast<uint8_t>(c)]);
  return true;
}

void Bpe::merge_short(Scratch& scratch) const {
  int32_t* ids = scratch.symbols_.data();
  size_t n = scratch.symbols_.size();
  std::array<uint32_t, kShortSymbols> ranks;  // of the merge of i and i + 1
  std::array<int32_t, kShortSymbols> merged;
  const auto look_up = [&](size_t i) {
    const Merge merge = merge_of(ids[i], ids[i + 1]);
    ranks[i] = merge.rank;
    merged[i] = merge.id;
  };
  for (size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    const auto end = ranks.begin() + static_cast<ptrdiff_t>(n - 1);
    const auto i = static_cast<size_t>(std::min_element(ranks.begin(), end) - ranks.begin());
    if (ranks[i] == kNoRank) break;
    ids[i] = merged[i];
    --n;
    std::copy(ids + i + 2, ids + n + 1, ids + i + 1);
    std::copy(ranks.data() + i + 1, ranks.data() + n, ranks.data() + i);
    std::copy(merged.data() + i + 1, merged.data() + n, merged.data() + i);
    if (i + 1 < n) look_up(i);
    if (i > 0) look_up(i - 1);
  }
  scratch.out_.insert(scratch.out_.end(), ids, ids + n);
}

void Bpe::push_merge(uint32_t left, Scratch& scratch) const {
  const uint32_t right = scratch.links_[left].next;
  if (right == kNowhere) return;
  const Merge merge = merge_of(scratch.links_[left].id, scratch.links_[right].id);
  if (merge.rank != kNoRank)
    scratch.heap_.push_back(static_cast<uint64_t>(merge.rank) << 32 | left);
}

// The heap holds rank << 32 | position: the lowest rank first, of equals the leftmost. Entries
// whose pair has changed meanwhile are recognised by their rank when they come up.
void Bpe::merge_long(Scratch& scratch) const {
  auto& links = scratch.links_;
  auto& heap = scratch.heap_;
  const auto n = static_cast<uint32_t>(scratch.symbols_.size());
  links.clear();
  heap.clear();
  for (uint32_t i = 0; i < n; ++i) {
    links.push_back(
        {scratch.symbols_[i], i == 0 ? kNowhere : i - 1, i + 1 == n ? kNowhere : i + 1});
  }
  for (uint32_t i = 0; i < n; ++i) push_merge(i, scratch);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    const uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const auto at = static_cast<uint32_t>(top);
    const uint32_t right = links[at].next;
    if (links[at].id < 0 || right == kNowhere) continue;
    const Merge merge = merge_of(links[at].id, links[right].id);
    if (merge.rank != static_cast<uint32_t>(top >> 32)) continue;
    links[at] = {merge.id, links[at].previous, links[right].next};
    links[right].id = -1;
    if (links[at].next != kNowhere) links[links[at].next].previous = at;
    for (const uint32_t left : {links[at].previous, at}) {
      if (left == kNowhere) continue;
      const size_t before = heap.size();
      push_merge(left, scratch);
      if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }
  for (uint32_t i = 0; i != kNowhere; i = links[i].next) scratch.out_.push_back(links[i].id);
}

}  // namespace lamina
