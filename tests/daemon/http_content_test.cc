// SPDX-License-Identifier: Apache-2.0
// Downloads whose bytes may be long in coming.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <vector>

#include "native/convert/convert.h"
#include "native/daemon/http_content.h"
#include "native/daemon/model_files.h"
#include "tests/daemon/http_client.h"
#include "tests/support/temp_dir.h"

namespace lamina::daemon {
namespace {

char byte_at(uint64_t offset) {
  return static_cast<char>((offset * 2654435761u) >> 24);
}

std::string bytes_at(uint64_t offset, size_t count) {
  std::string out(count, '\0');
  for (size_t i = 0; i < count; ++i) out[i] = byte_at(offset + i);
  return out;
}

// A door that stays shut until opened, for any number of threads.
class Door {
 public:
  ~Door() { open(); }
  void open() {
    if (!std::exchange(opened_, true)) promise_.set_value();
  }
  std::function<void()> pass() {
    return [way = way_] { way.wait(); };
  }

 private:
  std::promise<void> promise_;
  std::shared_future<void> way_{promise_.get_future().share()};
  bool opened_ = false;
};

// Serves one content at /file, and "ready" at /other.
struct ContentServer : LiveServer {
  using Read = std::function<Result<std::string>(uint64_t, size_t)>;
  ContentServer(uint64_t size, Read read, bool may_block = true) {
    auto content = std::make_shared<Content>();
    content->type = "application/octet-stream";
    content->etag = "\"x\"";
    content->size = size;
    content->may_block = may_block;
    content->read = std::move(read);
    add("/file", [this, content](const HttpRequest& request, auto responder) {
      answer_content(request, std::move(responder), content, size_t{1} << 20, &**this);
    });
    add("/other", [](const HttpRequest&, auto responder) { responder->respond(200, {}, "ready"); });
    start();
  }
  void add(const std::string& path,
           std::function<void(const HttpRequest&, std::shared_ptr<HttpResponder>)> handle) {
    Route route;
    route.method = "GET";
    route.path = path;
    route.handle = std::move(handle);
    (*this)->add(std::move(route));
  }
};

// As many as there may be threads for it, and more: all wait.
void occupy_helpers(LiveServer& server, Door& door) {
  std::promise<void> done;
  server->post([&] {
    for (int i = 0; i < 16; ++i) EXPECT_TRUE(server->offload(door.pass(), [] {}));
    done.set_value();
  });
  done.get_future().wait();
}

TEST(Contents, ASlowDiskStallsItsReaderAlone) {
  Door door;
  ContentServer server(100000, [pass = door.pass()](uint64_t offset, size_t count) {
    pass();
    return Result<std::string>(bytes_at(offset, count));
  });
  std::vector<RawSocket> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(server.connect());
    waiting.back().send(server.request("GET /file"));
    EXPECT_THAT(waiting.back().take_until("\r\n\r\n"), testing::HasSubstr("100000"));
  }
  EXPECT_EQ(server.ask("GET /other").body, "ready");
  door.open();
  for (RawSocket& socket : waiting) EXPECT_TRUE(socket.take(100000) == bytes_at(0, 100000));
}

TEST(Contents, ReadNoFurtherThanThePeerTakes) {
  constexpr size_t kSize = 64 << 20;
  std::atomic<size_t> read = 0;
  ContentServer server(kSize, [&read](uint64_t offset, size_t count) {
    read += count;
    return Result<std::string>(bytes_at(offset, count));
  });
  RawSocket socket = server.connect(4096);
  socket.send(server.request("GET /file", "Range: bytes=5-\r\n"));
  ASSERT_TRUE(socket.receive());
  for (size_t before = 0; before != read;) {
    before = read;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_LT(read, size_t{16} << 20);  // most of it in the system's buffers
  socket.take_until("\r\n\r\n");
  EXPECT_TRUE(socket.take(1 << 20) == bytes_at(5, 1 << 20));
}

TEST(Contents, ComeWholeInBlocksAndPieces) {
  for (bool may_block : {false, true}) {
    for (size_t size : {0, 1, 32768, 32769, 131072, 131073, 1000003}) {
      ContentServer server(
          size,
          [](uint64_t offset, size_t count) {
            return Result<std::string>(bytes_at(offset, count));
          },
          may_block);
      RawSocket socket = server.connect();
      for (int i = 0; i < 2; ++i) {  // one after the other on a connection
        socket.send(server.request("GET /file"));
        EXPECT_TRUE(read_answer(socket).body == bytes_at(0, size)) << size;
      }
    }
  }
}

TEST(Contents, BreakOffWhereReadingFails) {
  for (bool throws : {false, true}) {
    ContentServer server(200000, [throws](uint64_t offset, size_t count) -> Result<std::string> {
      if (offset < 131072) return bytes_at(offset, count);
      if (throws) throw std::bad_alloc();
      return make_error(Code::kIo, "no more");
    });
    EXPECT_LE(server.ask("GET /file").body.size(), 131072u);  // what was queued may be lost too
    EXPECT_EQ(server.ask("GET /other").body, "ready");
  }
}

TEST(Contents, AreNotReadForWhoHasLeft) {
  Door door;
  std::atomic<int> reads = 0;
  ContentServer server(100, [&reads](uint64_t offset, size_t count) {
    ++reads;
    return Result<std::string>(bytes_at(offset, count));
  });
  occupy_helpers(server, door);
  {
    RawSocket socket = server.connect();
    socket.send(server.request("GET /file"));
    socket.take_until("\r\n\r\n");
  }
  while (server.stats().connections > 0) std::this_thread::yield();
  door.open();
  EXPECT_EQ(server.ask("GET /file").body.size(), 100u);  // behind the one that was given up
  EXPECT_EQ(reads, 1);
}

TEST(Contents, TheServerEndsWhileADiskIsWaitedFor) {
  Door door;
  std::promise<void> reading;
  ContentServer server(100, [&](uint64_t offset, size_t count) {
    reading.set_value();
    door.pass()();
    return Result<std::string>(bytes_at(offset, count));
  });
  RawSocket socket = server.connect();
  socket.send(server.request("GET /file"));
  reading.get_future().wait();
  server.stop();
  EXPECT_TRUE(socket.ended());
  door.open();  // the server's destructor waits for the read alone
}

TEST(Contents, OnlySoManyMayWait) {
  Door door;
  LiveServer server;
  server.start();
  std::promise<int> taken;
  std::atomic<int> after = 0;
  server->post([&] {
    int count = 0;
    while (count < 100000 && server->offload(door.pass(), [&] { ++after; })) ++count;
    taken.set_value(count);
  });
  const int count = taken.get_future().get();
  EXPECT_GE(count, 16);
  EXPECT_LE(count, 2048);
  door.open();
  while (after < count) std::this_thread::yield();
  std::promise<bool> again;
  server->post([&] { again.set_value(server->offload([] {}, [] {})); });
  EXPECT_TRUE(again.get_future().get());
}

TEST(Contents, ModelFilesAreReadOffTheLoop) {
  test::TempDir dir;
  ConvertOptions convert_options;
  convert_options.source = std::string(LAMINA_SOURCE_DIR) + "/tests/models/storyteller-draft";
  convert_options.destination = dir / "model";
  ASSERT_TRUE(convert(convert_options).has_value());
  Door door;
  LiveServer server;
  auto models = std::make_shared<ModelFiles>(NetOptions());
  ASSERT_TRUE(models->add("draft", dir / "model").has_value());
  models->serve(*server);
  server.start();
  occupy_helpers(server, door);
  RawSocket socket = server.connect();
  socket.send(server.request("GET /models/draft/shards/00000.bin"));
  EXPECT_THAT(socket.take_until("\r\n\r\n"), testing::StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(server.ask("GET /models/draft/manifest.json").status, 200);  // that one is in memory
  EXPECT_FALSE(socket.receive(0.1));
  door.open();
  EXPECT_TRUE(socket.receive());
}

}  // namespace
}  // namespace lamina::daemon
