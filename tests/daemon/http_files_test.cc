// SPDX-License-Identifier: Apache-2.0
// The UI's files and model folders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "native/convert/convert.h"
#include "native/daemon/http_content.h"
#include "native/daemon/model_files.h"
#include "native/daemon/static_files.h"
#include "native/platform/files.h"
#include "native/platform/sha256.h"
#include "tests/daemon/http_client.h"
#include "tests/support/temp_dir.h"

namespace lamina::daemon {
namespace {

using test::TempDir;
using testing::HasSubstr;

// A model folder, converted once for all tests.
const std::string& model_folder() {
  static TempDir dir;
  static const std::string folder = [] {
    ConvertOptions options;
    options.source = std::string(LAMINA_SOURCE_DIR) + "/tests/models/storyteller-draft";
    options.destination = dir / "model";
    auto report = convert(options);
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return options.destination;
  }();
  return folder;
}

void write_text(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct FileServer : LiveServer {
  explicit FileServer(const std::string& ui = {}, NetOptions options = {}) : LiveServer(options) {
    auto served = serve_static_files(**this, ui, options);
    EXPECT_TRUE(served.has_value()) << served.error().message;
    models = std::make_shared<ModelFiles>(options);
    models->serve(**this);
    start();
  }
  std::shared_ptr<ModelFiles> models;
};

struct UiDir : TempDir {
  UiDir() {
    write_text(*this / "index.html", "<!doctype html>page");
    write_text(*this / "app-1a2b3c4d.js", std::string(3000, 'j'));
    write_text(*this / "app-1a2b3c4d.js.gz", "zipped");
    write_text(*this / "app-1a2b3c4d.js.br", "brotli");
    write_text(*this / "deep/style.css", "css");
    write_text(*this / ".secret", "hidden");
    write_text(*this / ".git/config", "hidden");
    std::filesystem::create_symlink("/etc/passwd", *this / "link.txt");
    std::filesystem::create_directory_symlink("/etc", *this / "etc");
  }
};

TEST(StaticFiles, ServesItsTableAndNothingElse) {
  UiDir ui;
  FileServer server(ui.path());
  EXPECT_EQ(server.ask("GET /").body, "<!doctype html>page");
  EXPECT_EQ(server.ask("GET /index.html").body, "<!doctype html>page");
  Answer css = server.ask("GET /deep/style.css");
  EXPECT_EQ(css.body, "css");
  EXPECT_EQ(css.header("Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(css.header("Cache-Control"), "no-cache");
  for (const char* path : {"/.secret", "/.git/config", "/link.txt", "/etc/passwd", "/deep",
                           "/deep/", "/app-1a2b3c4d.js.gz", "/INDEX.HTML", "//index.html"}) {
    EXPECT_EQ(server.ask(std::string("GET ") + path).status, 404) << path;
  }
  for (const char* path : {"/../index.html", "/..%2findex.html", "/deep/%2e%2e/%2e%2e/etc/passwd",
                           "/index.html%00", "/deep\\style.css", "/%5c..%5cetc"}) {
    EXPECT_EQ(server.ask(std::string("GET ") + path).status, 400) << path;
  }
}

TEST(StaticFiles, HasSecurityHeaders) {
  UiDir ui;
  FileServer server(ui.path());
  Answer page = server.ask("GET /");
  EXPECT_THAT(page.header("Content-Security-Policy"),
              HasSubstr("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"));
  EXPECT_THAT(page.header("Content-Security-Policy"),
              HasSubstr("connect-src 'self' ws://" + server.host() + ";"));
  EXPECT_EQ(page.header("Cross-Origin-Opener-Policy"), "same-origin");
  EXPECT_EQ(page.header("Cross-Origin-Embedder-Policy"), "require-corp");
  EXPECT_EQ(page.header("Cross-Origin-Resource-Policy"), "same-origin");
  EXPECT_EQ(page.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(page.header("Referrer-Policy"), "no-referrer");
}

TEST(StaticFiles, ChoosesACoding) {
  UiDir ui;
  FileServer server(ui.path());
  auto ask = [&](const std::string& accepted) {
    return server.ask("GET /app-1a2b3c4d.js", "Accept-Encoding: " + accepted + "\r\n");
  };
  EXPECT_EQ(ask("gzip, deflate, br").body, "brotli");
  EXPECT_EQ(ask("gzip").header("Content-Encoding"), "gzip");
  EXPECT_EQ(ask("br;q=0, gzip;q=0.5").body, "zipped");
  EXPECT_EQ(ask("identity").body.size(), 3000u);
  EXPECT_EQ(ask("gzip;q=0").header("Content-Encoding"), "");
  Answer answer = ask("br");
  EXPECT_EQ(answer.header("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(answer.header("Cache-Control"), "public, max-age=31536000, immutable");
  EXPECT_THAT(answer.head, HasSubstr("Vary: Accept-Encoding"));
  EXPECT_NE(answer.header("ETag"), ask("gzip").header("ETag"));
}

TEST(StaticFiles, AnswersConditionsAndHead) {
  UiDir ui;
  FileServer server(ui.path());
  std::string etag = server.ask("GET /").header("ETag");
  EXPECT_EQ(etag, '"' + sha256_hex(std::string_view("<!doctype html>page")) + '"');
  EXPECT_EQ(server.ask("GET /", "If-None-Match: \"x\", W/" + etag + "\r\n").status, 304);
  EXPECT_EQ(server.ask("GET /", "If-None-Match: *\r\n").status, 304);
  EXPECT_EQ(server.ask("GET /", "If-None-Match: \"x\"\r\n").status, 200);
  Answer head = server.ask("HEAD /");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "19");
  EXPECT_EQ(server.ask("POST /", "Content-Length: 0\r\n").header("Allow"), "GET, HEAD, OPTIONS");
}

TEST(StaticFiles, RefusesADirectoryWithoutPage) {
  TempDir empty;
  LiveServer server;
  auto served = serve_static_files(*server, empty.path(), {});
  ASSERT_FALSE(served.has_value());
  EXPECT_THAT(served.error().message, HasSubstr("has no index.html"));
  EXPECT_FALSE(serve_static_files(*server, empty / "missing", {}).has_value());
}

TEST(StaticFiles, HasAPageOfItsOwn) {
  NetOptions options;
  options.token = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
  FileServer server({}, options);
  Answer page = server.ask("GET /");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("/v1/chat/completions"));
}

TEST(StaticFiles, KnowsHashedNames) {
  for (const char* name : {"/app-1a2b3c4d.js", "/x/app.0123456789ab.css", "/chunk-ABCD2345.js"}) {
    EXPECT_TRUE(has_hashed_name(name)) << name;
  }
  for (const char* name : {"/app.js", "/app-controller.js", "/12345678.js", "/app-deadbeef.js",
                           "/index.html", "/a-1a2b3c4.js", "/noext"}) {
    EXPECT_FALSE(has_hashed_name(name)) << name;
  }
}

TEST(Ranges, AreOneOrNone) {
  auto range = [](std::string_view header, uint64_t size = 100) {
    ByteRange out = parse_range(header, size);
    return std::string(out.kind == ByteRange::Kind::kWhole ? "whole"
                       : out.kind == ByteRange::Kind::kPart
                           ? std::to_string(out.first) + "+" + std::to_string(out.count)
                           : "416");
  };
  EXPECT_EQ(range("bytes=0-0"), "0+1");
  EXPECT_EQ(range("bytes=10-19"), "10+10");
  EXPECT_EQ(range("bytes=90-"), "90+10");
  EXPECT_EQ(range("bytes=90-999999999999999999"), "90+10");
  EXPECT_EQ(range("bytes=-5"), "95+5");
  EXPECT_EQ(range("bytes=-500"), "0+100");
  EXPECT_EQ(range("bytes=100-"), "416");
  EXPECT_EQ(range("bytes=-0"), "416");
  EXPECT_EQ(range("bytes=0-", 0), "416");
  for (const char* odd :
       {"bytes=5-4", "bytes=0-1,5-6", "bytes=a-b", "bytes=--5", "bytes=", "bytes=-", "items=0-1",
        "bytes=0-99999999999999999999999", "bytes= 0-1", "bytes=+0-1"}) {
    EXPECT_EQ(range(odd), "whole") << odd;
  }
}

TEST(ModelFiles, ServesWhatTheManifestNames) {
  FileServer server;
  auto added = server.models->add("draft", model_folder());
  ASSERT_TRUE(added.has_value()) << added.error().message;
  const std::string shard = file_text(model_folder() + "/shards/00000.bin");
  Answer whole = server.ask("GET /models/draft/shards/00000.bin");
  EXPECT_EQ(whole.status, 200);
  EXPECT_TRUE(whole.body == shard);
  EXPECT_EQ(whole.header("ETag"), '"' + sha256_hex(shard) + '"');
  EXPECT_EQ(whole.header("Cache-Control"), "private, max-age=31536000, immutable");
  Answer manifest = server.ask("GET /models/draft/manifest.json");
  EXPECT_EQ(manifest.body, file_text(model_folder() + "/manifest.json"));
  EXPECT_EQ(manifest.header("Cache-Control"), "private, no-cache");
  EXPECT_EQ(server.ask("GET /models/draft/tokenizer.json").status, 200);
  for (const char* path :
       {"", "/", "/README.md", "/shards", "/shards/", "/shards/99999.bin", "/shards/00000.bin/"}) {
    EXPECT_EQ(server.ask("GET /models/draft" + std::string(path)).status, 404) << path;
  }
  EXPECT_EQ(server.ask("GET /models/other/manifest.json").status, 404);
  server.models->remove("draft");
  EXPECT_EQ(server.ask("GET /models/draft/manifest.json").status, 404);
}

TEST(ModelFiles, AnswersRanges) {
  FileServer server;
  ASSERT_TRUE(server.models->add("draft", model_folder()).has_value());
  const std::string shard = file_text(model_folder() + "/shards/00000.bin"),
                    path = "GET /models/draft/shards/00000.bin";
  const std::string size = std::to_string(shard.size());
  Answer part = server.ask(path, "Range: bytes=100-299\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.header("Content-Range"), "bytes 100-299/" + size);
  EXPECT_TRUE(part.body == shard.substr(100, 200));
  EXPECT_TRUE(server.ask(path, "Range: bytes=-7\r\n").body == shard.substr(shard.size() - 7));
  Answer beyond = server.ask(path, "Range: bytes=" + size + "-\r\n");
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.header("Content-Range"), "bytes */" + size);
  std::string etag = part.header("ETag");
  EXPECT_EQ(server.ask(path, "Range: bytes=0-9\r\nIf-Range: " + etag + "\r\n").status, 206);
  EXPECT_EQ(server.ask(path, "Range: bytes=0-9\r\nIf-Range: \"other\"\r\n").status, 200);
  EXPECT_EQ(server.ask(path, "Range: bytes=0-9\r\nIf-Range: W/" + etag + "\r\n").status, 200);
  EXPECT_EQ(
      server.ask(path, "Range: bytes=0-9\r\nIf-Range: Sun, 06 Nov 2094 08:49:37 GMT\r\n").status,
      200);
  EXPECT_EQ(server.ask("HEAD " + path.substr(4), "Range: bytes=0-9\r\n").status, 200);
  for (const char* odd : {"bytes=5-4", "bytes=-", "bytes=--1", "bytes=0-0,1-1,0-9", "lines=0-1",
                          "bytes=99999999999999999999-"}) {
    Answer whole = server.ask(path, std::string("Range: ") + odd + "\r\n");
    EXPECT_EQ(whole.status, 200) << odd;
    EXPECT_EQ(whole.body.size(), shard.size()) << odd;
  }
  EXPECT_EQ(server.ask(path, "Range: bytes=0-9, 20-29\r\n").status, 200);
}

TEST(ModelFiles, StaysInItsTable) {
  TempDir dir;
  std::filesystem::copy(model_folder(), dir / "model", std::filesystem::copy_options::recursive);
  write_text(dir / "secret", "secret");
  write_text(dir / "model/.secret", "secret");
  std::filesystem::create_symlink("/etc/passwd", dir / "model/link");
  FileServer server;
  ASSERT_TRUE(server.models->add("draft", dir / "model").has_value());
  for (const char* path : {"/.secret", "/link", "/../secret", "/../draft/link", "/shards/../link",
                           "/./manifest.json/", "//manifest.json"}) {
    EXPECT_EQ(server.ask("GET /models/draft" + std::string(path)).status, 404) << path;
  }
  for (const char* path : {"/..%2fsecret", "/%2e%2e%2f%2e%2e%2fsecret", "/..\\secret",
                           "/manifest.json%00", "/../../../secret"}) {
    EXPECT_EQ(server.ask("GET /models/draft" + std::string(path)).status, 400) << path;
  }
  EXPECT_EQ(server.ask("GET /models/draft/shards/../manifest.json").status, 200);
}

TEST(ModelFiles, AnswersForAnOtherHashNotAtAll) {
  FileServer server;
  ASSERT_TRUE(server.models->add("draft", model_folder()).has_value());
  const std::string path = "GET /models/draft/shards/00000.bin";
  std::string etag = server.ask("HEAD " + path.substr(4)).header("ETag");
  EXPECT_EQ(server.ask(path + "?sha256=" + etag.substr(1, 64)).status, 200);
  EXPECT_EQ(server.ask(path + "?sha256=" + std::string(64, '0')).status, 404);
}

TEST(ModelFiles, WantsTheToken) {
  NetOptions options;
  options.token = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
  FileServer server({}, options);
  ASSERT_TRUE(server.models->add("draft", model_folder()).has_value());
  EXPECT_EQ(server.ask("GET /models/draft/manifest.json").status, 401);
  EXPECT_EQ(server.ask("GET /models/nothing/manifest.json").status, 401);
}

// A file that changes under its hash is not served as what it was.
TEST(ModelFiles, NoticesChangedFiles) {
  TempDir dir;
  std::filesystem::copy(model_folder(), dir / "model", std::filesystem::copy_options::recursive);
  FileServer server;
  ASSERT_TRUE(server.models->add("draft", dir / "model").has_value());
  std::ofstream(dir / "model/tokenizer.json", std::ios::app) << " ";
  Answer answer = server.ask("GET /models/draft/tokenizer.json");
  EXPECT_NE(answer.body.size(), std::stoul(answer.header("Content-Length")));
  auto again = server.models->add("draft", dir / "model");
  ASSERT_FALSE(again.has_value());
  EXPECT_THAT(again.error().message, HasSubstr("the manifest says"));
}

}  // namespace
}  // namespace lamina::daemon
