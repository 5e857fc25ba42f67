// SPDX-License-Identifier: Apache-2.0
#include "native/cli/sampling_flags.h"

#include <cmath>
#include <limits>
#include <random>

#include "native/cli/flags.h"

namespace lamina::cli {
namespace {

// "15043+1.5", "15043-2", "15043-inf".
Result<std::pair<int32_t, float>> parse_bias(const std::string& text) {
  const size_t sign = text.find_first_of("+-");
  const bool split = sign != std::string::npos && sign > 0;
  const std::optional<int64_t> id = split ? parse_int(text.substr(0, sign)) : std::nullopt;
  if (id && *id >= 0 && *id <= INT32_MAX) {
    const std::string bias = text.substr(sign);
    const std::optional<double> value = parse_double(bias);
    if (value) return std::pair(static_cast<int32_t>(*id), static_cast<float>(*value));
    if (bias == "-inf") {
      return std::pair(static_cast<int32_t>(*id), -std::numeric_limits<float>::infinity());
    }
  }
  return make_error(Code::kInvalidArgument,
                    "--logit-bias %s: a token id, then + or - and a number, e.g. 15043+1.5; "
                    "-inf forbids the token",
                    quote(text).c_str());
}

}  // namespace

void add_sampling_flags(CLI::App& verb, SamplingFlags& flags) {
  SamplingParams& p = flags.params;
  verb.option_defaults()->group("Answer");
  int_flag(verb, "-n,--n-predict", flags.n_predict, -1, INT32_MAX,
           "Tokens at most; -1: until the model ends or the context is full");
  list_flag(verb, "--stop", flags.stop, "TEXT", "End the answer before this text; repeatable");
  switch_flag(verb, "--ignore-eos", flags.ignore_eos, "Go on where the model would end");
  verb.option_defaults()->group("Sampling");
  seed_flag(verb, "-s,--seed", flags.seed, "The same seed gives the same answer; -1: a random one");
  float_flag(verb, "--temp", p.temperature, 0, 100, "Temperature; 0: always the likeliest token");
  int_flag(verb, "--top-k", p.top_k, 0, INT32_MAX, "Among the likeliest so many; 0: all");
  float_flag(verb, "--top-p", p.top_p, 0, 1, "Among the likeliest that make up this probability");
  float_flag(verb, "--min-p", p.min_p, 0, 1, "None below this part of the best one's probability");
  float_flag(verb, "--repeat-penalty", p.repeat_penalty, 0.1f, 100,
             "Make tokens seen lately less likely; 1: off");
  float_flag(verb, "--presence-penalty", p.presence_penalty, -100, 100,
             "Taken from the logit of a token seen lately; 0: off");
  float_flag(verb, "--frequency-penalty", p.frequency_penalty, -100, 100,
             "Taken as often as it was seen; 0: off");
  int_flag(verb, "--repeat-last-n", p.repeat_last_n, -1, 1 << 20,
           "What lately means, in tokens; -1: the whole context");
  list_flag(verb, "--logit-bias", flags.logit_bias, "ID+X",
            "Add X to a token's logit (ID-X takes, ID-inf forbids); repeatable");
}

Result<AnswerOptions> answer_options(const SamplingFlags& flags) {
  AnswerOptions options;
  options.sampling = flags.params;
  if (flags.seed) {
    options.sampling.seed = *flags.seed;
  } else {
    std::random_device device;
    options.sampling.seed = device();
  }
  for (const std::string& bias : flags.logit_bias) {
    LAMINA_ASSIGN(const auto parsed, parse_bias(bias));
    options.sampling.logit_bias.push_back(parsed);
  }
  LAMINA_TRY(TextStream::create(flags.stop));  // complain now rather than after loading
  options.stop = flags.stop;
  options.max_new_tokens = flags.n_predict;
  options.ignore_eos = flags.ignore_eos;
  return options;
}

}  // namespace lamina::cli
