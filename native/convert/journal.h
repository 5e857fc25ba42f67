// SPDX-License-Identifier: Apache-2.0
// What an interrupted conversion had finished. A text file, a JSON object a line: first the
// fingerprint of options and source, then one line a shard, each synced after the shard itself. A
// line that a crash cut off is not there. The open journal is locked against a second conversion.
#pragma once

#include <string>
#include <vector>

#include "native/convert/encode.h"
#include "native/platform/files.h"

namespace lamina {

struct FinishedShard {
  size_t shard = 0;
  std::string sha256;
  std::vector<ErrorSums> sums;  // per part, in order of offset
};

class Journal {
 public:
  // Opens or creates the journal of `folder`, which exists. Notes of another fingerprint are
  // dropped.
  static Result<Journal> open(const std::string& folder, const std::string& fingerprint);

  const std::vector<FinishedShard>& finished() const { return finished_; }
  Result<void> add(const FinishedShard& shard);
  Result<void> remove();  // when everything is done

 private:
  std::string path_;
  FileDescriptor fd_;
  std::vector<FinishedShard> finished_;
};

}  // namespace lamina
