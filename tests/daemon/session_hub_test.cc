// SPDX-License-Identifier: Apache-2.0
// Sessions on fake connections with a fake service: order, errors, resume, slow readers.
#include "native/daemon/session_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "native/platform/files.h"
#include "tests/daemon/fakes.h"
#include "tests/support/temp_dir.h"

namespace lamina::daemon {
namespace {

using testing::ElementsAre;

struct Client {
  std::shared_ptr<WebSocketHandler> handler;
  std::shared_ptr<FakePeer> peer = std::make_shared<FakePeer>();

  void say(const std::string& text) { handler->message(text); }
  std::string last(const std::string& path) const {
    return peer->frames.empty() ? "no frame" : json_at(peer->frames.back(), path);
  }
  std::string at(size_t index, const std::string& path) const {
    return index < peer->frames.size() ? json_at(peer->frames[index], path) : "no frame";
  }
};

class SessionHubTest : public testing::Test {
 protected:
  SessionHubTest() {
    options.grace_seconds = 30;
    options.version = "test";
    restart();
  }
  void restart() {
    hub = std::make_unique<SessionHub>(HubParts{loop, desk, service, catalogue, metrics, log},
                                       options);
  }
  Client connect() {
    Client client{hub->connect("peer")};
    client.handler->opened(client.peer);
    return client;
  }
  Client hello() {
    Client client = connect();
    client.say(R"({"type":"hello"})");
    return client;
  }
  // Begins a generation and waits until the service has it.
  GenerationId generate(Client& client, const std::string& id) {
    const size_t before = service.count();
    client.say(R"({"type":"generate","id":")" + id + R"(","prompt":"x"})");
    EXPECT_TRUE(settle([&] { return service.count() == before + 1; }))
        << client.peer->frames.back();
    return service.last;
  }
  template <typename Done>
  bool settle(Done done) {
    for (int i = 0; i < 2000 && !done(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      loop.run_posted();
    }
    loop.run_posted();
    return done();
  }
  std::string resume(const std::string& session, const std::string& last_seq) {
    return R"({"type":"resume","session":")" + session + R"(","last_seq":)" + last_seq + "}";
  }

  FakeLoop loop;
  FakeService service;
  Metrics metrics{"test"};
  Log log{Log::Format::kText, "off"};
  Catalogue catalogue;
  Desk desk{loop, service, metrics};
  HubOptions options;
  std::unique_ptr<SessionHub> hub;
};

TEST_F(SessionHubTest, HelloComesFirstAndOnce) {
  Client client = connect();
  client.say(R"({"type":"cancel","id":"a"})");
  EXPECT_EQ(client.last("code"), "order");
  client.say("nonsense");
  EXPECT_EQ(client.last("code"), "bad_json");
  client.say(R"({"type":"hello"})");
  EXPECT_EQ(client.last("type"), "hello");
  EXPECT_EQ(client.last("models.0.name"), "owl");
  EXPECT_EQ(client.last("session").size(), 32u);
  client.say(R"({"type":"hello"})");
  EXPECT_EQ(client.last("code"), "order");
  client.say(resume("x", "{}"));
  EXPECT_EQ(client.last("code"), "order");
}

TEST_F(SessionHubTest, TellsAGenerationInOrder) {
  Client client = hello();
  const GenerationId id = generate(client, "a");
  service.start(id);
  service.token(id, 5, "He");
  service.token(id, 6, "llo");
  service.finish(id);
  loop.run_posted();
  ASSERT_EQ(client.peer->frames.size(), 4u);  // both tokens in one frame: they came in one turn
  EXPECT_EQ(client.at(1, "type") + client.at(1, "seq"), "started1");
  EXPECT_EQ(client.at(1, "model"), "owl");
  EXPECT_EQ(client.at(2, "text") + client.at(2, "seq"), "Hello2");
  EXPECT_EQ(client.at(3, "type") + client.at(3, "seq"), "done3");
  EXPECT_EQ(client.at(3, "usage.cached_tokens"), "1");
  client.say(R"({"type":"generate","id":"a","prompt":"x"})");
  EXPECT_EQ(client.last("code"), "duplicate_id");
  EXPECT_NE(metrics.text({}).find("lamina_generations_total{end=\"eos\"} 1"), std::string::npos);
}

TEST_F(SessionHubTest, RefusesWhatTheServiceRefuses) {
  Client client = hello();
  service.refusal = make_error(Code::kQueueFull, "the queue is full");
  client.say(R"({"type":"generate","id":"a","prompt":"x"})");
  ASSERT_TRUE(settle([&] { return client.peer->frames.size() == 2; }));
  EXPECT_EQ(client.last("code") + client.last("seq"), "queue_full1");
  client.say(R"({"type":"cancel","id":"z"})");
  EXPECT_EQ(client.last("code") + client.last("field"), "unknown_idid");
}

TEST_F(SessionHubTest, CancelReachesTheServiceHoweverEarly) {
  Client client = hello();
  client.say(R"({"type":"generate","id":"a","prompt":"x"})");
  client.say(R"({"type":"cancel","id":"a"})");
  // It may not even be brought to the service.
  const auto over = [&] { return client.last("finish") == "cancelled"; };
  ASSERT_TRUE(
      settle([&] { return over() || (service.count() == 1 && service.generations[1].cancelled); }));
  if (!over()) service.finish(1, FinishReason::kCancelled);
  loop.run_posted();
  EXPECT_EQ(client.last("finish"), "cancelled");
  client.say(R"({"type":"cancel","id":"a"})");  // it may have been on its way
  EXPECT_EQ(client.last("finish"), "cancelled");
}

// What is quick here is quick by the clock, so it may take a few attempts on a busy machine.
TEST_F(SessionHubTest, QuickTokensShareAFrame) {
  loop.keep_turns = true;
  Client client = hello();
  const GenerationId id = generate(client, "a");
  service.start(id);
  bool joined = false;
  for (int i = 0; i < 1000 && !joined; ++i) {
    loop.pass(1.0);
    loop.run_posted();
    service.token(id, 1, "one ");
    loop.run_posted();
    const size_t before = client.peer->frames.size();
    service.token(id, 2, "two ");
    service.token(id, 3, "three ");
    loop.run_posted();
    const bool waits = client.peer->frames.size() == before;
    loop.pass(0.002);
    ASSERT_EQ(client.peer->frames.size(), before + 1);
    ASSERT_EQ(client.last("text"), "two three ");
    joined = waits;
  }
  EXPECT_TRUE(joined);
}

TEST_F(SessionHubTest, ResumesWithNothingLostOrDoubled) {
  Client first = hello();
  const std::string session = first.last("session");
  const GenerationId id = generate(first, "a");
  service.start(id);
  loop.run_posted();
  service.token(id, 1, "one ");
  loop.run_posted();
  first.handler->closed();
  service.token(id, 2, "two ");
  loop.run_posted();
  service.token(id, 3, "three");
  loop.run_posted();
  Client second = connect();
  second.say(resume(session, R"({"a":2})"));
  ASSERT_EQ(second.peer->frames.size(), 3u);
  EXPECT_EQ(second.at(0, "type"), "resumed");
  EXPECT_EQ(second.at(0, "requests.0.seq"), "4");
  EXPECT_EQ(second.at(1, "text") + second.at(1, "seq"), "two 3");
  EXPECT_EQ(second.at(2, "text") + second.at(2, "seq"), "three4");
  service.finish(id);
  loop.run_posted();
  EXPECT_EQ(second.last("type") + second.last("seq"), "done5");
}

TEST_F(SessionHubTest, AnotherConnectionTakesOver) {
  Client first = hello();
  const std::string session = first.last("session");
  const GenerationId id = generate(first, "a");
  Client second = connect();
  second.say(resume(session, "{}"));
  EXPECT_EQ(first.last("code"), "taken_over");
  EXPECT_EQ(first.peer->closed_with, 4001);
  const size_t heard = first.peer->frames.size();
  first.say(R"({"type":"cancel","id":"a"})");
  first.handler->closed();
  service.start(id);
  loop.run_posted();
  EXPECT_EQ(first.peer->frames.size(), heard);
  EXPECT_FALSE(service.generations[id].cancelled);
  EXPECT_EQ(second.last("type"), "started");
  loop.pass(60);
  EXPECT_EQ(hub->sessions(), 1u);
}

TEST_F(SessionHubTest, GraceEnds) {
  Client first = hello();
  const std::string session = first.last("session");
  const GenerationId id = generate(first, "a");
  first.handler->closed();
  loop.pass(29);
  EXPECT_FALSE(service.generations[id].cancelled);
  loop.pass(2);
  EXPECT_TRUE(service.generations[id].cancelled);
  EXPECT_EQ(hub->sessions(), 0u);
  Client second = connect();
  second.say(resume(session, "{}"));
  EXPECT_EQ(second.last("code"), "unknown_session");
  second.say(R"({"type":"hello"})");
  EXPECT_EQ(second.last("type"), "hello");
}

TEST_F(SessionHubTest, ASlowReaderPausesItsOwnGenerations) {
  options.unsent_bytes = 200;
  restart();
  Client slow = hello(), quick = hello();
  const GenerationId id = generate(slow, "a"), other = generate(quick, "a");
  slow.peer->holding = true;
  for (int i = 0; i < 10; ++i) {
    service.token(id, i, "some text");
    service.token(other, i, "some text");
    loop.run_posted();
  }
  EXPECT_TRUE(service.generations[id].paused);
  EXPECT_FALSE(service.generations[other].paused);
  EXPECT_LT(slow.peer->frames.size(), 8u);
  slow.peer->holding = false;
  slow.peer->buffered = 0;
  slow.handler->drained();
  EXPECT_FALSE(service.generations[id].paused);
  EXPECT_EQ(slow.last("seq"), "10");
}

TEST_F(SessionHubTest, WithoutAReaderTheBufferIsBounded) {
  options.buffer_bytes = 4096;
  restart();
  Client first = hello();
  const std::string session = first.last("session");
  const GenerationId id = generate(first, "a");
  first.handler->closed();
  int said = 0;
  while (!service.generations[id].paused && said < 1000) {
    service.token(id, said++, "some text");
    loop.run_posted();
  }
  EXPECT_LT(said, 30);
  Client second = connect();
  second.say(resume(session, "{}"));
  EXPECT_FALSE(service.generations[id].paused);
  EXPECT_EQ(second.peer->frames.size(), static_cast<size_t>(said) + 1);
}

TEST_F(SessionHubTest, SaysWhatIsGone) {
  options.buffer_bytes = 2048;
  restart();
  Client first = hello();
  const std::string session = first.last("session");
  const GenerationId id = generate(first, "a");
  for (int i = 0; i < 40; ++i) {
    service.token(id, i, "some text");
    loop.run_posted();
  }
  first.handler->closed();
  Client second = connect();
  second.say(resume(session, R"({"a":1})"));
  EXPECT_EQ(second.last("code") + second.last("id"), "gonea");
  EXPECT_TRUE(service.generations[id].cancelled);
}

TEST_F(SessionHubTest, LoadsOnlyWhatIsListed) {
  test::TempDir dir;
  ASSERT_TRUE(make_directories(dir.path() + "/owl2"));
  ASSERT_TRUE(write_file_atomic(dir.path() + "/owl2/manifest.json", "{}"));
  catalogue.set_root(dir.path());
  std::vector<std::string> served;
  options.loaded = [&](const std::string& name, const std::string& directory) {
    EXPECT_EQ(directory, dir.path() + "/" + name);
    served.push_back(name);
  };
  options.unloaded = [&](const std::string& name) { std::erase(served, name); };
  restart();
  Client client = hello();
  EXPECT_EQ(client.last("models.1.name") + client.last("models.1.loaded"), "owl2false");
  client.say(R"({"type":"load","id":"l","model":"../owl2"})");
  EXPECT_EQ(client.last("code"), "not_found");
  client.say(R"({"type":"load","id":"m","model":"owl2"})");
  ASSERT_TRUE(settle([&] { return client.last("type") == "loaded"; }));
  EXPECT_EQ(client.last("model.loaded"), "true");
  EXPECT_THAT(served, ElementsAre("owl2"));
  EXPECT_EQ(client.at(2, "type") + client.at(2, "stage"), "progressloading");
  client.say(R"({"type":"switch_backend","id":"s","backend":"reference"})");
  ASSERT_TRUE(settle([&] { return client.last("type") == "switched"; }));
  EXPECT_EQ(service.switched, "owl reference");
  client.say(R"({"type":"cancel","id":"m"})");
  EXPECT_EQ(client.last("code") + client.last("field"), "unknown_idid");
  client.say(R"({"type":"unload","id":"u","model":"owl2"})");
  ASSERT_TRUE(settle([&] { return client.last("type") == "unloaded"; }));
  EXPECT_THAT(served, ElementsAre());
  service.fail_load = true;
  client.say(R"({"type":"load","id":"n","model":"owl2"})");
  ASSERT_TRUE(settle([&] { return client.last("code") == "integrity"; }));
  EXPECT_THAT(served, ElementsAre());
}

TEST_F(SessionHubTest, StatusComesByTheClock) {
  Client client = hello();
  client.say(R"({"type":"status","interval":0.5})");
  EXPECT_EQ(client.last("type"), "status");
  const size_t heard = client.peer->frames.size();
  loop.pass(0.6);
  EXPECT_EQ(client.peer->frames.size(), heard + 1);
  client.say(R"({"type":"status","subscribe":false})");
  loop.pass(5);
  EXPECT_EQ(client.peer->frames.size(), heard + 1);
}

TEST_F(SessionHubTest, BoundsRequestsAndSessions) {
  options.sessions = 3;
  restart();
  Client client = hello();
  for (size_t i = 0; i < ProtocolLimits::kRequests; ++i) generate(client, "a" + std::to_string(i));
  client.say(R"({"type":"generate","id":"b","prompt":"x"})");
  EXPECT_EQ(client.last("code"), "too_many");
  for (int i = 0; i < 10; ++i) hello().handler->closed();
  EXPECT_EQ(hub->sessions(), 3u);
}

}  // namespace
}  // namespace lamina::daemon
