// SPDX-License-Identifier: Apache-2.0
// The whole daemon but for its program, with a device that is lost under eight clients.
#include <gmock/gmock.h>

#include "native/daemon/desk.h"
#include "native/daemon/session_hub.h"
#include "tests/daemon/fakes.h"
#include "tests/daemon/service_support.h"
#include "tests/daemon/ws_client.h"

namespace lamina::daemon {
namespace {

using test::BackendCall;
using testing::SizeIs;

constexpr int kClients = 8;
constexpr int kTokens = 60;

// One client's answer, as it came over its connection.
struct Heard {
  std::string text, error;
  std::vector<std::string> notices;
  int tokens = 0;
  bool in_order = true;  // frames are numbered without a hole or a double
};

// A server over a service, by WebSocket. Stops before what its handlers use is gone.
class Daemon {
 public:
  explicit Daemon(Service& service) : desk_(*server_, service, metrics_), hub_(parts(service), {}) {
    server_->add_websocket("/ws", std::string(kProtocolName), [this](const HttpRequest& request) {
      return hub_.connect(request.peer);
    });
    server_.start();
  }
  ~Daemon() { server_.stop(1.0); }
  const LiveServer& server() const { return server_; }

 private:
  HubParts parts(Service& service) {
    return {*server_, desk_, service, catalogue_, metrics_, log_};
  }

  static NetOptions options() {
    NetOptions options;
    options.requests_per_second = 0;
    return options;
  }
  Metrics metrics_{"test"};
  Log log_{Log::Format::kText, "off"};
  Catalogue catalogue_;
  LiveServer server_{options()};
  Desk desk_;
  SessionHub hub_;
};

class LossTest : public ServiceTest {
 protected:
  LossTest() { options_.parallel = kClients; }

  // `client`'s answer on a connection of its own; odd ones are sampled, even ones greedy.
  static Heard ask(const LiveServer& server, int client) {
    WsClient socket(server);
    const std::string number = std::to_string(client);
    socket.text(R"({"type":"hello"})");
    socket.text(R"({"type":"generate","id":"a","prompt":"Client )" + number +
                R"( asks","ignore_eos":true,"max_tokens":)" + std::to_string(kTokens) +
                R"(,"seed":)" + number + R"(,"sampling":{"temperature":)" +
                (client % 2 ? "1" : "0") + "}}");
    Heard heard;
    for (int64_t seq = 0;;) {
      const Frame frame = socket.receive();
      if (frame.opcode != kText) {
        heard.error = "the connection ended";
        return heard;
      }
      const std::string& text = frame.payload;
      const std::string type = json_at(text, "type");
      if (type == "hello") continue;
      heard.in_order &= json_at(text, "seq") == std::to_string(++seq);
      if (type == "token") heard.text += json_at(text, "text");
      if (type == "notice") heard.notices.push_back(json_at(text, "text"));
      if (type == "error") heard.error = text;
      if (type == "done") heard.tokens = std::stoi(json_at(text, "usage.completion_tokens"));
      if (type == "error" || type == "done") return heard;
    }
  }

  static std::vector<Heard> ask_all(Service& service) {
    const Daemon daemon(service);
    std::vector<std::future<Heard>> answers;
    for (int i = 0; i < kClients; ++i) {
      answers.push_back(std::async(std::launch::async, [&, i] { return ask(daemon.server(), i); }));
    }
    std::vector<Heard> heard;
    for (auto& answer : answers) heard.push_back(answer.get());
    return heard;
  }

  // Everybody's answer on a device with these faults is the one without.
  void survives(std::vector<test::Fault> faults) {
    const auto undisturbed = service();
    const std::vector<Heard> expected = ask_all(*undisturbed);
    options_.backend = "faulty";
    const auto lost = service(std::move(faults));
    const std::vector<Heard> heard = ask_all(*lost);
    options_.backend = "cpu";
    size_t noticed = 0;
    for (size_t i = 0; i < kClients; ++i) {
      EXPECT_EQ(heard[i].error, "") << i;
      EXPECT_TRUE(heard[i].in_order) << i;
      EXPECT_EQ(heard[i].tokens, kTokens) << i;
      EXPECT_EQ(heard[i].text, expected[i].text) << i;
      EXPECT_FALSE(expected[i].text.empty()) << i;
      EXPECT_THAT(expected[i].notices, SizeIs(0)) << i;
      noticed += !heard[i].notices.empty();
    }
    EXPECT_GT(noticed, 0u) << "who was in mid-answer is told";
  }
};

TEST_F(LossTest, ANewDeviceTakesOver) {
  survives({{BackendCall::kRead, 20}, {}});
}

TEST_F(LossTest, TheCpuTakesOverFromADeviceThatIsGoneForGood) {
  survives({{BackendCall::kRead, 20}});
}

TEST_F(LossTest, LostAgainAndAgain) {
  survives({{BackendCall::kRead, 9}, {BackendCall::kSubmit, 12}, {BackendCall::kRead, 4}});
}

}  // namespace
}  // namespace lamina::daemon
