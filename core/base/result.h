// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Member names as in std::expected (C++23).
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "core/base/check.h"
#include "core/base/error.h"

namespace lamina {

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  // REQUIRES: has_value(), which is checked.
  T& value() & { LAMINA_CHECK(has_value()); return *std::get_if<0>(&state_); }
  const T& value() const& { LAMINA_CHECK(has_value()); return *std::get_if<0>(&state_); }
  T&& value() && { LAMINA_CHECK(has_value()); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !has_value(), which is checked.
  const Error& error() const& { LAMINA_CHECK(!has_value()); return *std::get_if<1>(&state_); }
  Error&& error() && { LAMINA_CHECK(!has_value()); return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  void value() const { LAMINA_CHECK(has_value()); }
  const Error& error() const& { LAMINA_CHECK(error_.has_value()); return *error_; }
  Error&& error() && { LAMINA_CHECK(error_.has_value()); return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace lamina

#define LAMINA_CONCAT_(a, b) a##b
#define LAMINA_CONCAT(a, b) LAMINA_CONCAT_(a, b)

// LAMINA_TRY(expr): return the error of a Result<...>, drop its value.
#define LAMINA_TRY(expr)                                                   \
  do {                                                                     \
    if (auto lamina_result_ = (expr); !lamina_result_)                     \
      return std::move(lamina_result_).error();                            \
  } while (0)

// LAMINA_ASSIGN(auto x, expr): return the error, or declare/assign x from the value.
#define LAMINA_ASSIGN(lhs, expr) LAMINA_ASSIGN_(LAMINA_CONCAT(lamina_result_, __LINE__), lhs, expr)
#define LAMINA_ASSIGN_(tmp, lhs, expr)       \
  auto tmp = (expr);                         \
  if (!tmp) return std::move(tmp).error();   \
  lhs = std::move(tmp).value()
