// SPDX-License-Identifier: Apache-2.0
// normalizer, pre_tokenizer, post_processor and decoder of tokenizer.json. Each is one step or a
// Sequence of steps, which may nest; JSON's depth limit bounds the recursion.
#include <algorithm>

#include "core/base/numeric.h"
#include "core/model/tokenizer_json.h"

namespace lamina {

namespace {

constexpr size_t kMostSteps = 16;
constexpr size_t kMostTemplateIds = 64;
constexpr int64_t kMostStripped = 1024;

// Calls parse(step) for the value, or for each step of the Sequence that it is.
template <typename Parse>
Result<void> for_each_step(JsonValue value, std::string_view list, size_t& n_steps,
                           const Parse& parse) {
  if (value.is_absent()) return {};
  LAMINA_ASSIGN(const std::string type, value.get_string("type"));
  if (type != "Sequence") {
    if (++n_steps > kMostSteps) return value.error(Code::kUnsupported, "more than 16 steps");
    return parse(value, type);
  }
  LAMINA_ASSIGN(const JsonValue steps, value.get_array(list));
  for (JsonValue step = steps.first_child(); !step.is_missing(); step = step.next_sibling()) {
    LAMINA_TRY(for_each_step(step, list, n_steps, parse));
  }
  return {};
}

Error unknown_step(JsonValue step, const char* known) {
  return step.find("type").error(Code::kUnsupported, std::string("known here are ") + known);
}

struct ReplaceText {
  std::string from, to;
};

// {"pattern": {"String": from}, "content": to}
Result<ReplaceText> parse_replace(JsonValue step) {
  LAMINA_ASSIGN(const JsonValue pattern, step.get_object("pattern"));
  const JsonValue regex = pattern.find("Regex");
  if (!regex.is_missing()) {
    return regex.error(Code::kUnsupported, "replacing by regular expression is not supported");
  }
  ReplaceText replace;
  LAMINA_ASSIGN(replace.from, pattern.get_string("String"));
  LAMINA_ASSIGN(replace.to, step.get_string("content"));
  if (replace.from.empty()) {
    return pattern.find("String").error(Code::kInvalidModel, "the text to replace is empty");
  }
  return replace;
}

Result<PrependScheme> parse_prepend_scheme(JsonValue step) {
  LAMINA_ASSIGN(const std::string name, step.get_string_or("prepend_scheme", "always"));
  LAMINA_ASSIGN(const bool add, step.get_bool_or("add_prefix_space", true));
  if (!add || name == "never") return PrependScheme::kNever;
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  return step.find("prepend_scheme")
      .error(Code::kInvalidModel, "must be 'always', 'first' or 'never'");
}

Result<std::string> parse_metaspace_mark(JsonValue step) {
  LAMINA_ASSIGN(const std::string mark, step.get_string("replacement"));
  if (!mark.empty() && mark.size() <= 4) return mark;
  return step.find("replacement").error(Code::kInvalidModel, "must be one character");
}

Result<void> parse_split(JsonValue step, PreTokenizer& pre_tokenizer) {
  LAMINA_ASSIGN(const JsonValue pattern, step.get_object("pattern"));
  const JsonValue regex = pattern.find("Regex");
  if (!regex.is_string()) {
    return pattern.error(Code::kUnsupported, "only Split by a known Regex is supported");
  }
  const auto known = split_pattern_of(regex.as_string());
  if (!known) {
    return regex.error(Code::kUnsupported,
                       "only the patterns of GPT-2, Llama 3 and Qwen 2 are supported");
  }
  // The known patterns match everything, so keeping matches and isolating them are the same.
  LAMINA_ASSIGN(const std::string behavior, step.get_string("behavior"));
  LAMINA_ASSIGN(const bool invert, step.get_bool_or("invert", false));
  if (behavior != "Isolated" && !(behavior == "Removed" && invert)) {
    return step.find("behavior")
        .error(Code::kUnsupported, "only 'Isolated', or 'Removed' with invert, is supported");
  }
  pre_tokenizer.add_split(*known);
  return {};
}

Result<void> parse_pre_tokenizer_step(JsonValue step, const std::string& type,
                                      PreTokenizer& pre_tokenizer) {
  if (pre_tokenizer.byte_level()) {
    return step.error(Code::kUnsupported, "no step is supported behind ByteLevel");
  }
  if (type == "Split") return parse_split(step, pre_tokenizer);
  if (type == "Digits") {
    LAMINA_ASSIGN(const bool individual, step.get_bool_or("individual_digits", false));
    pre_tokenizer.add_digits(individual);
    return {};
  }
  if (type == "ByteLevel") {
    LAMINA_ASSIGN(const bool prefix, step.get_bool_or("add_prefix_space", true));
    LAMINA_ASSIGN(const bool use_regex, step.get_bool_or("use_regex", true));
    pre_tokenizer.add_byte_level(prefix, use_regex);
    return {};
  }
  if (type == "Metaspace") {
    LAMINA_ASSIGN(std::string mark, parse_metaspace_mark(step));
    LAMINA_ASSIGN(const PrependScheme scheme, parse_prepend_scheme(step));
    LAMINA_ASSIGN(const bool split, step.get_bool_or("split", true));
    pre_tokenizer.add_metaspace(std::move(mark), scheme, split);
    return {};
  }
  return unknown_step(step, "Split, Digits, ByteLevel, Metaspace, Sequence");
}

// ids of one SpecialToken of a template.
Result<void> append_template_ids(JsonValue processor, JsonValue piece, const TokenizerParts& parts,
                                 std::vector<int32_t>& ids) {
  LAMINA_ASSIGN(const std::string name, piece.get_string("id"));
  LAMINA_ASSIGN(const JsonValue tokens, processor.get_object("special_tokens"));
  LAMINA_ASSIGN(const JsonValue token, tokens.get_object(name));
  LAMINA_ASSIGN(const JsonValue list, token.get_array("ids"));
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    LAMINA_ASSIGN(const int64_t id, v.to_int(0, parts.id_limit - 1));
    if (!parts.has(static_cast<int32_t>(id), TokenizerParts::kKnown)) {
      return v.error(Code::kInvalidModel, "no token has this id");
    }
    if (ids.size() >= kMostTemplateIds) {
      return v.error(Code::kInvalidModel, "a template adds at most 64 tokens");
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return {};
}

Result<void> parse_template(JsonValue processor, TokenizerParts& parts) {
  LAMINA_ASSIGN(const JsonValue single, processor.get_array("single"));
  std::vector<int32_t> before, after;
  bool seen_text = false;
  for (JsonValue v = single.first_child(); !v.is_missing(); v = v.next_sibling()) {
    const JsonValue special = v.find("SpecialToken");
    if (!special.is_missing()) {
      LAMINA_TRY(append_template_ids(processor, special, parts, seen_text ? after : before));
      continue;
    }
    LAMINA_ASSIGN(const JsonValue sequence, v.get_object("Sequence"));
    LAMINA_ASSIGN(const std::string id, sequence.get_string("id"));
    if (id != "A" || seen_text) {
      return v.error(Code::kInvalidModel, "the text, Sequence 'A', must stand there once");
    }
    seen_text = true;
  }
  if (!seen_text) return single.error(Code::kInvalidModel, "the text, Sequence 'A', is missing");
  parts.prefix.insert(parts.prefix.begin(), before.begin(), before.end());
  parts.suffix.insert(parts.suffix.end(), after.begin(), after.end());
  return {};
}

// Decoders are understood when they come in this order: rewriting of single tokens (Replace,
// Metaspace), bytes (ByteFallback or ByteLevel), joining (Fuse), Strip of the beginning.
class DecoderParser {
 public:
  explicit DecoderParser(DecodeRules& rules) : rules_(rules) {}

  Result<void> add(JsonValue step, const std::string& type) {
    if (type == "Replace" || type == "Metaspace") {
      LAMINA_TRY(enter(kRewriting, step));
      return add_rewrite(step, type);
    }
    if (type == "ByteFallback") {
      rules_.byte_fallback = true;
      return enter(kBytes, step);
    }
    if (type == "ByteLevel") {
      rules_.pieces = DecodeRules::Pieces::kByteLevel;
      LAMINA_TRY(enter(kBytes, step));
      return enter(kJoined, step);
    }
    if (type == "Fuse") return enter(kJoined, step);
    if (type == "Strip") return add_strip(step);
    return unknown_step(step, "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence");
  }

 private:
  enum Phase { kRewriting, kBytes, kJoined };

  Result<void> enter(Phase phase, JsonValue step) {
    const bool again = phase == kBytes && phase_ == kBytes;
    if (phase < phase_ || again) {
      return step.error(Code::kUnsupported, "a decoder in this place of the sequence");
    }
    phase_ = phase;
    return {};
  }

  Result<void> add_rewrite(JsonValue step, const std::string& type) {
    DecodeRules::Rewrite rewrite;
    if (type == "Replace") {
      LAMINA_ASSIGN(ReplaceText replace, parse_replace(step));
      rewrite.from = std::move(replace.from);
      rewrite.to = std::move(replace.to);
    } else {
      LAMINA_ASSIGN(rewrite.from, parse_metaspace_mark(step));
      LAMINA_ASSIGN(const PrependScheme scheme, parse_prepend_scheme(step));
      rewrite.to.assign(1, ' ');
      rewrite.metaspace = true;
      rewrite.first_to.assign(scheme == PrependScheme::kNever ? 1 : 0, ' ');
    }
    const size_t growth = std::max<size_t>(1, div_up(rewrite.to.size(), rewrite.from.size()));
    if (growth > Normalizer::kMostGrowth / growth_) {
      return step.error(Code::kUnsupported, "the decoders lengthen tokens too much");
    }
    growth_ *= growth;
    rules_.rewrites.push_back(std::move(rewrite));
    return {};
  }

  Result<void> add_strip(JsonValue step) {
    if (phase_ != kJoined) return step.error(Code::kUnsupported, "Strip before Fuse");
    DecodeRules::Strip strip;
    LAMINA_ASSIGN(strip.character, step.get_string("content"));
    LAMINA_ASSIGN(const int64_t start, step.get_int("start", 0, kMostStripped));
    LAMINA_ASSIGN(const int64_t stop, step.get_int("stop", 0, kMostStripped));
    if (strip.character.empty() || strip.character.size() > 4) {
      return step.find("content").error(Code::kInvalidModel, "must be one character");
    }
    if (stop != 0) {
      return step.find("stop").error(Code::kUnsupported, "stripping the end is not supported");
    }
    strip.most = static_cast<uint32_t>(start);
    rules_.strips.push_back(std::move(strip));
    return {};
  }

  DecodeRules& rules_;
  Phase phase_ = kRewriting;
  size_t growth_ = 1;
};

}  // namespace

Result<void> parse_normalizer(JsonValue value, Normalizer& normalizer) {
  size_t n_steps = 0;
  return for_each_step(
      value, "normalizers", n_steps, [&](JsonValue step, const std::string& type) -> Result<void> {
        bool fits = true;
        if (type == "Prepend") {
          LAMINA_ASSIGN(std::string text, step.get_string("prepend"));
          fits = text.empty() || normalizer.add_prepend(std::move(text));
        } else if (type == "Replace") {
          LAMINA_ASSIGN(ReplaceText replace, parse_replace(step));
          fits = normalizer.add_replace(std::move(replace.from), std::move(replace.to));
        } else {
          return unknown_step(step, "Prepend, Replace, Sequence");
        }
        if (!fits) return step.error(Code::kUnsupported, "the normalizers lengthen text too much");
        return {};
      });
}

Result<void> parse_pre_tokenizer(JsonValue value, PreTokenizer& pre_tokenizer) {
  size_t n_steps = 0;
  return for_each_step(value, "pretokenizers", n_steps,
                       [&](JsonValue step, const std::string& type) {
                         return parse_pre_tokenizer_step(step, type, pre_tokenizer);
                       });
}

Result<void> parse_post_processor(JsonValue value, TokenizerParts& parts) {
  size_t n_steps = 0;
  return for_each_step(value, "processors", n_steps,
                       [&](JsonValue step, const std::string& type) -> Result<void> {
                         if (type == "ByteLevel")
                           return {};  // only changes offsets, which nobody asks for here
                         if (type == "TemplateProcessing") return parse_template(step, parts);
                         return unknown_step(step, "TemplateProcessing, ByteLevel, Sequence");
                       });
}

Result<void> parse_decoder(JsonValue value, DecodeRules& rules) {
  if (value.is_absent()) {
    rules.separator.assign(1, ' ');
    return {};
  }
  size_t n_steps = 0;
  DecoderParser parser(rules);
  return for_each_step(value, "decoders", n_steps, [&](JsonValue step, const std::string& type) {
    return parser.add(step, type);
  });
}

}  // namespace lamina
