// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/static_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "native/daemon/http_content.h"
#include "native/daemon/http_target.h"
#include "native/platform/files.h"
#include "native/platform/sha256.h"

namespace lamina::daemon {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFile = size_t{64} << 20;
constexpr size_t kMaxTotal = size_t{256} << 20;

constexpr std::string_view kBuiltInPage = R"(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lamina</title>
<h1>The Lamina daemon runs</h1>
<p>This build has no web interface. What it serves here:</p>
<ul>
<li><code>/v1/chat/completions</code>, <code>/v1/completions</code>, <code>/v1/models</code>: the OpenAI API
<li><code>/ws</code>: WebSocket, protocol <code>lamina.v1</code>
<li><code>/models/NAME/</code>: the files of loaded models
<li><a href="/health/ready"><code>/health/ready</code></a>, <code>/metrics</code>
</ul>
<p>All but the health check want the token that <code>lamina serve</code> printed, as
<code>Authorization: Bearer TOKEN</code>.</p>
</html>
)";

struct StaticFile {
  std::shared_ptr<const Content> plain, gzip, brotli;
};
using Table = std::map<std::string, StaticFile>;  // by path, "/app.js"

std::shared_ptr<Content> content_of(std::string bytes, const std::string& path) {
  auto content = std::make_shared<Content>();
  content->type = media_type(path);
  content->etag = '"' + sha256_hex(bytes) + '"';
  content->cache_control =
      has_hashed_name(path) ? "public, max-age=31536000, immutable" : "no-cache";
  content->size = bytes.size();
  auto shared = std::make_shared<const std::string>(std::move(bytes));  // by copies of the content
  content->read = [shared](uint64_t offset, size_t count) -> Result<std::string> {
    return shared->substr(static_cast<size_t>(offset), count);
  };
  return content;
}

// Scripts may use wasm and nothing inline; the page talks to its own daemon alone.
std::string content_security_policy(const HttpRequest& request) {
  std::string socket = (request.tls ? "wss://" : "ws://") + std::string(request.header("host"));
  return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src "
         "'self'; "
         "img-src 'self' data: blob:; font-src 'self'; manifest-src 'self'; connect-src 'self' " +
         socket +
         "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
         "require-trusted-types-for 'script'";
}

void answer_file(const HttpRequest& request, std::shared_ptr<HttpResponder> responder,
                 const StaticFile& file, size_t max_unsent) {
  std::string_view accepted = request.header("accept-encoding");
  std::string_view coding;
  auto chosen = file.plain;
  if (file.gzip && accepts_coding(accepted, "gzip")) chosen = file.gzip, coding = "gzip";
  if (file.brotli && accepts_coding(accepted, "br")) chosen = file.brotli, coding = "br";
  auto answer = std::make_shared<Content>(*chosen);
  answer->more = {{"Content-Security-Policy", content_security_policy(request)},
                  {"Cross-Origin-Opener-Policy", "same-origin"},
                  {"Cross-Origin-Embedder-Policy", "require-corp"}};
  if (!coding.empty()) answer->more.emplace_back("Content-Encoding", coding);
  if (file.gzip || file.brotli) answer->more.emplace_back("Vary", "Accept-Encoding");
  answer_content(request, std::move(responder), std::move(answer), max_unsent);
}

// All files below the directory, with their paths from it.
Result<std::map<std::string, std::string>> read_tree(const std::string& directory) {
  std::map<std::string, std::string> out;
  std::error_code error;
  size_t total = 0;
  fs::recursive_directory_iterator at(directory, error), end;
  for (; !error && at != end; at.increment(error)) {
    bool hidden = at->path().filename().string().starts_with('.');
    if (hidden && at->is_directory()) at.disable_recursion_pending();
    if (hidden || at->is_symlink() || !at->is_regular_file()) continue;
    LAMINA_ASSIGN(std::string bytes, read_file(at->path().string(), kMaxFile));
    total += bytes.size();
    if (total > kMaxTotal) {
      return make_error(Code::kResourceExhausted, "the UI directory %s holds more than %zu MiB",
                        directory.c_str(), kMaxTotal >> 20);
    }
    out["/" + at->path().lexically_relative(directory).generic_string()] = std::move(bytes);
  }
  if (error) {
    return make_error(Code::kIo, "read the UI directory %s: %s", directory.c_str(),
                      error.message().c_str());
  }
  return out;
}

std::shared_ptr<const Content> take_variant(std::map<std::string, std::string>& tree,
                                            const std::string& path, const std::string& ending) {
  auto found = tree.find(path + ending);
  if (found == tree.end()) return nullptr;
  auto content = content_of(std::move(found->second), path);
  tree.erase(found);
  return content;
}

bool is_variant_of_other(const std::map<std::string, std::string>& tree, const std::string& path) {
  bool compressed = path.ends_with(".gz") || path.ends_with(".br");
  return compressed && tree.contains(path.substr(0, path.size() - 3));
}

Result<Table> read_table(const std::string& directory) {
  LAMINA_ASSIGN(auto tree, read_tree(directory));
  if (!tree.contains("/index.html")) {
    return make_error(Code::kNotFound, "the UI directory %s has no index.html", directory.c_str());
  }
  std::vector<std::string> paths;
  for (const auto& [path, bytes] : tree) {
    if (!is_variant_of_other(tree, path)) paths.push_back(path);
  }
  Table table;
  for (const std::string& path : paths) {
    StaticFile file;
    file.gzip = take_variant(tree, path, ".gz");
    file.brotli = take_variant(tree, path, ".br");
    file.plain = content_of(std::move(tree[path]), path);
    table[path] = std::move(file);
  }
  table["/"] = table["/index.html"];
  return table;
}

}  // namespace

bool has_hashed_name(std::string_view file) {
  size_t dot = file.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  size_t from = file.find_last_of("-./", dot - 1);
  if (from == std::string_view::npos || file[from] == '/') return false;
  std::string_view hash = file.substr(from + 1, dot - from - 1);
  auto all_of = [&](std::string_view alphabet) {
    return hash.find_first_not_of(alphabet) == std::string_view::npos;
  };
  bool has_digit = hash.find_first_of("0123456789") != std::string_view::npos;
  if (hash.size() >= 8 && has_digit && all_of("0123456789abcdef")) return true;
  return hash.size() == 8 &&
         all_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");  // base32, as bundlers write
}

bool accepts_coding(std::string_view accepted, std::string_view coding) {
  while (!accepted.empty()) {
    size_t comma = accepted.find(',');
    std::string part = ascii_lower(accepted.substr(0, comma));
    std::erase_if(part, [](char c) { return c == ' ' || c == '\t'; });
    size_t semicolon = part.find(';');
    if (part.substr(0, semicolon) == coding) {
      std::string weight = semicolon == std::string::npos ? "q=1" : part.substr(semicolon + 1);
      return weight.starts_with("q=") && weight.find_first_of("123456789") != std::string::npos;
    }
    if (comma == std::string_view::npos) break;
    accepted.remove_prefix(comma + 1);
  }
  return false;
}

Result<void> serve_static_files(HttpServer& server, const std::string& directory,
                                const NetOptions& options) {
  Table table;
  if (directory.empty()) {
    table["/"].plain = content_of(std::string(kBuiltInPage), "/index.html");
  } else {
    LAMINA_ASSIGN(table, read_table(directory));
  }
  for (auto& [path, file] : table) {
    Route route;
    route.method = "GET";
    route.path = path;
    route.needs_token = false;
    route.handle = [file = file, most = options.max_unsent](
                       const HttpRequest& request, std::shared_ptr<HttpResponder> responder) {
      answer_file(request, std::move(responder), file, most);
    };
    server.add(std::move(route));
  }
  return {};
}

}  // namespace lamina::daemon
