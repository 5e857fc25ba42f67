find_package(OpenSSL 3.0 REQUIRED COMPONENTS SSL)
lamina_test(test_daemon_http LABEL unit SOURCES auth_test.cc http_content_test.cc http_files_test.cc
  http_parse_test.cc http_refusal_test.cc http_server_test.cc http_tls_test.cc ws_conformance_test.cc
  ws_test.cc ws_utf8_test.cc
  DEPS lamina_net lamina_convert OpenSSL::SSL)
