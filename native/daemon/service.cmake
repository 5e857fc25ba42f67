lamina_room(lamina_daemon_service NATIVE SOURCES
  model_host.cc
  prompt_bound.cc
  service.cc
  service_worker.cc
  DEPS lamina_engine lamina_host)
