lamina_test(test_daemon_http LABEL unit SOURCES http_parse_test.cc http_server_test.cc
  http_refusal_test.cc auth_test.cc ws_test.cc ws_conformance_test.cc DEPS lamina_net)
