# What clients say and hear: lamina.v1, OpenAI's API, configuration, operations.
find_package(spdlog 1.10 REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)

lamina_room(lamina_protocol NATIVE SOURCES fields.cc protocol_frames.cc protocol_parse.cc
  DEPS lamina_engine)
lamina_room(lamina_api NATIVE SOURCES
  catalogue.cc config.cc desk.cc intake.cc log.cc metrics.cc openai.cc openai_answer.cc openai_job.cc openai_request.cc
  session.cc session_frames.cc session_hub.cc worker.cc
  DEPS lamina_protocol lamina_platform)
target_link_libraries(lamina_api PRIVATE spdlog::spdlog prometheus-cpp::core)
lamina_room(lamina_daemon NATIVE SOURCES app.cc DEPS lamina_api lamina_net lamina_daemon_service)
