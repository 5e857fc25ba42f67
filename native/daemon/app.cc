// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/app.h"

#include <algorithm>

#include "native/daemon/auth.h"
#include "native/daemon/catalogue.h"
#include "native/daemon/desk.h"
#include "native/daemon/metrics.h"
#include "native/daemon/model_files.h"
#include "native/daemon/openai.h"
#include "native/daemon/session_hub.h"
#include "native/daemon/static_files.h"
#include "native/daemon/tls.h"
#include "native/daemon/worker.h"
#include "native/platform/memory_facts.h"
#include "native/platform/signals.h"
#include "native/platform/thread_turns.h"

namespace lamina::daemon {
namespace {

constexpr double kSignalSeconds = 0.1;  // how often it is looked whether one came
constexpr double kGoodbyeSeconds = 2.0;

KvDType kv_dtype(const std::string& name) {
  if (name == "f32") return KvDType::kF32;
  return name == "i8" ? KvDType::kI8 : KvDType::kF16;
}

std::string url_of(const NetOptions& net, uint16_t port) {
  const bool v6 = net.host.find(':') != std::string::npos;
  const bool any = net.host == "0.0.0.0" || net.host == "::";
  const std::string host = any ? "localhost" : v6 ? "[" + net.host + "]" : net.host;
  return std::string(net.tls_certificate.empty() ? "http://" : "https://") + host + ":" +
         std::to_string(port) + "/";
}

void answer_text(const std::shared_ptr<HttpResponder>& responder, int status, const char* type,
                 std::string body) {
  responder->respond(status, {{"Content-Type", type}, {"Cache-Control", "no-store"}},
                     std::move(body));
}

// The parts in the order that they need each other; destroyed in the reverse one.
class App {
 public:
  App(const ServeConfig& config, Log& log) : config_(config), log_(log), metrics_(config.version) {}

  Result<void> open();
  Result<void> load_models();
  void run(const std::function<void(const ServeFacts&)>& ready);

 private:
  NetOptions net_options();
  void serve_files(const std::string& name, const std::string& directory);
  void add_routes();
  void add_operations();
  void watch_signals();
  void begin_drain();
  std::string metrics_text();

  const ServeConfig& config_;
  Log& log_;
  Metrics metrics_;
  Catalogue catalogue_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<Service> service_;
  std::shared_ptr<ModelFiles> files_;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<SessionHub> hub_;
  std::unique_ptr<OpenAi> openai_;
  std::unique_ptr<Worker> drainer_;
  bool draining_ = false;
};

NetOptions App::net_options() {
  NetOptions net = config_.net;
  net.on_access = [this](const HttpAccess& access) {
    log_.debug("answered", {{"peer", access.peer},
                            {"method", access.method},
                            {"path", access.path},
                            {"status", access.status},
                            {"seconds", access.seconds}});
  };
  return net;
}

Result<void> App::open() {
  for (const std::string& directory : config_.models) LAMINA_TRY(catalogue_.add(directory));
  catalogue_.set_root(config_.model_root);
  LAMINA_TRY(check_exposure(config_.net, config_.insecure));
  LAMINA_ASSIGN(server_, HttpServer::create(net_options()));
  ServiceOptions options = config_.service;
  options.log = [this](LogLevel level, std::string_view text) {
    if (level == LogLevel::kDebug) return log_.debug("service", {{"text", text}});
    if (level == LogLevel::kInfo) return log_.info("service", {{"text", text}});
    if (level == LogLevel::kWarning) return log_.warn("service", {{"text", text}});
    log_.error("service", {{"text", text}});
  };
  LAMINA_ASSIGN(service_, Service::create(options));
  files_ = std::make_shared<ModelFiles>(config_.net);
  desk_ = std::make_unique<Desk>(*server_, *service_, metrics_);
  HubOptions hub;
  hub.grace_seconds = config_.grace_seconds;
  hub.message_bytes = config_.net.max_frame;
  hub.version = config_.version;
  hub.loaded = [this](const std::string& name, const std::string& directory) {
    serve_files(name, directory);
  };
  hub.unloaded = [this](const std::string& name) { files_->remove(name); };
  const HubParts parts{*server_, *desk_, *service_, catalogue_, metrics_, log_};
  hub_ = std::make_unique<SessionHub>(parts, hub);
  openai_ =
      std::make_unique<OpenAi>(OpenAiParts{*server_, *desk_, *service_, metrics_}, OpenAiOptions{});
  add_routes();
  return serve_static_files(*server_, config_.ui, config_.net);
}

Result<void> App::load_models() {
  for (const Catalogue::Model& model : catalogue_.list()) {
    const bool at_start =
        std::ranges::find(config_.models, model.directory) != config_.models.end();
    // Browsers' engines may have the files of every model, also of those not loaded here.
    if (!at_start) {
      serve_files(model.name, model.directory);
      continue;
    }
    LAMINA_TRY(files_->add(model.name, model.directory));
    log_.info("loading", {{"model", model.name}, {"directory", model.directory}});
    LAMINA_TRY(service_->load(model.directory, model.name, [](const LoadProgress&) {}));
  }
  for (const ModelStatus& m : service_->status()) {
    log_.info("loaded", {{"model", m.name},
                         {"backend", m.backend},
                         {"device", m.device},
                         {"why", m.backend_reason},
                         {"context", m.context},
                         {"parallel", m.parallel}});
  }
  return {};
}

void App::serve_files(const std::string& name, const std::string& directory) {
  const Result<void> added = files_->add(name, directory);
  if (added) return;
  log_.warn("model not served as files", {{"model", name}, {"why", added.error().message}});
}

void App::add_routes() {
  openai_->add_routes(*server_);
  files_->serve(*server_);
  server_->add_websocket("/ws", std::string(kProtocolName), [this](const HttpRequest& request) {
    return hub_->connect(request.peer);
  });
  add_operations();
}

void App::add_operations() {
  const auto add = [this](const char* path, bool needs_token, auto answer) {
    server_->add({"GET", path, 0, needs_token, true,
                  [answer](const HttpRequest&, std::shared_ptr<HttpResponder> responder) {
                    answer(responder);
                  }});
  };
  add("/health/live", false, [](const std::shared_ptr<HttpResponder>& responder) {
    answer_text(responder, 200, "application/json", R"({"status":"up"})");
  });
  add("/health/ready", false, [this](const std::shared_ptr<HttpResponder>& responder) {
    const bool ready = !draining_ && !service_->status().empty();
    answer_text(responder, ready ? 200 : 503, "application/json",
                ready ? R"({"status":"ready"})" : R"({"status":"not ready"})");
  });
  add("/metrics", true, [this](const std::shared_ptr<HttpResponder>& responder) {
    answer_text(responder, 200, "text/plain; version=0.0.4; charset=utf-8", metrics_text());
  });
}

std::string App::metrics_text() {
  const std::vector<ModelStatus> models = service_->status();
  const NetStats stats = server_->stats();
  return metrics_.text({models,
                        hub_->connections(),
                        hub_->sessions(),
                        memory_facts().resident,
                        {{"host", stats.refused_host},
                         {"origin", stats.refused_origin},
                         {"token", stats.refused_token},
                         {"rate", stats.refused_rate},
                         {"full", stats.refused_full},
                         {"malformed", stats.malformed},
                         {"timeout", stats.timeouts},
                         {"slow_reader", stats.slow_readers}}});
}

void App::watch_signals() {
  if (interrupted().load() && !draining_) return begin_drain();
  if (!draining_) server_->after(kSignalSeconds, [this] { watch_signals(); });
}

void App::begin_drain() {
  draining_ = true;
  service_->refuse_new();  // before anybody is told that this daemon leaves
  hub_->set_draining();
  log_.info("draining", {{"seconds", config_.drain_seconds}});
  drainer_->add([this] {
    const bool idle = service_->drain(config_.drain_seconds);
    server_->post([this, idle] {
      log_.info("leaving", {{"finished", idle ? "true" : "false"}});
      desk_->deliver();  // what was computed last
      server_->stop(kGoodbyeSeconds);
    });
  });
}

void App::run(const std::function<void(const ServeFacts&)>& ready) {
  drainer_ = std::make_unique<Worker>();
  watch_signals();
  const ServeFacts facts{url_of(config_.net, server_->port())};
  log_.info("listening",
            {{"url", facts.url}, {"token_file", config_.insecure ? "" : config_.token_path}});
  if (!config_.fingerprint.empty()) {
    log_.info("certificate of our own making", {{"sha256", config_.fingerprint}});
  }
  if (config_.insecure)
    log_.warn("no token is asked for: everybody who reaches this port is served");
  server_->post([&ready, facts] { ready(facts); });
  ask_for_short_turns();
  server_->run();
  drainer_ = nullptr;
}

}  // namespace

Result<ServeConfig> serve_config(const Settings& settings, const std::string& version) {
  ServeConfig c;
  c.version = version;
  c.net.host = settings.text("host");
  c.net.port = static_cast<uint16_t>(settings.number("port"));
  c.net.allowed_origins = settings.list("allow_origin");
  c.net.allowed_hosts = settings.list("allow_host");
  c.net.tls_certificate = settings.text("tls_cert");
  c.net.tls_key = settings.text("tls_key");
  if (settings.flag("tls_self_signed") && c.net.tls_certificate.empty()) {
    LAMINA_ASSIGN(const OwnCertificate own, self_signed_certificate(c.net.host));
    c.net.tls_certificate = c.net.tls_key = own.path;
    c.fingerprint = own.fingerprint;
  }
  c.insecure = settings.flag("insecure_no_auth");
  c.token_path = settings.text("token_file");
  if (c.token_path.empty()) c.token_path = token_path();
  if (!c.insecure) {
    LAMINA_ASSIGN(c.net.token, load_or_create_token(c.token_path));
  }
  c.service.backend = settings.text("backend");
  c.service.device = static_cast<int32_t>(settings.number("device"));
  c.service.memory_budget = settings.size("memory_budget");
  c.service.threads = static_cast<int>(settings.number("threads"));
  c.service.context = static_cast<int32_t>(settings.number("context"));
  c.service.parallel = static_cast<int32_t>(settings.number("parallel"));
  c.service.queue = static_cast<int32_t>(settings.number("queue"));
  c.service.cache_positions = static_cast<int32_t>(settings.number("cache_size"));
  c.service.kv_dtype = kv_dtype(settings.text("kv"));
  c.service.load = settings.text("load");
  c.service.require_signature = settings.flag("require_signature");
  c.service.trusted_keys = settings.list("trust");
  c.models = settings.list("models");
  c.model_root = settings.text("model_root");
  c.ui = settings.text("ui");
  c.grace_seconds = static_cast<double>(settings.number("grace"));
  c.drain_seconds = static_cast<double>(settings.number("drain"));
  return c;
}

Result<void> serve(const ServeConfig& config, Log& log,
                   const std::function<void(const ServeFacts&)>& ready) {
  install_interrupt_handler();
  App app(config, log);
  LAMINA_TRY(app.open());
  LAMINA_TRY(app.load_models());
  app.run(ready);
  return {};
}

}  // namespace lamina::daemon
