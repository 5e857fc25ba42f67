lamina_test(test_daemon_protocol LABEL unit SOURCES protocol_test.cc session_frames_test.cc config_test.cc
  DEPS lamina_api lamina_platform)
lamina_test(test_daemon_sessions LABEL unit SOURCES session_hub_test.cc openai_test.cc
  DEPS lamina_api lamina_platform)

# The real daemon with the clients that people use; skipped where node or npm's packages can't be had.
foreach(part protocol openai)
  add_test(NAME e2e_daemon_${part}
    COMMAND bash ${PROJECT_SOURCE_DIR}/tests/e2e/daemon/daemon_test.sh ${part})
  set_tests_properties(e2e_daemon_${part} PROPERTIES LABELS e2e TIMEOUT 600
    SKIP_REGULAR_EXPRESSION "skipped: " RESOURCE_LOCK e2e_daemon_packages ENVIRONMENT
    "LAMINA=$<TARGET_FILE:lamina>;PROBE=$<TARGET_FILE:e2e_probe>;SOURCE=${PROJECT_SOURCE_DIR};BUILT_MODEL=${PROJECT_BINARY_DIR}/models/storyteller;BUILD=${PROJECT_BINARY_DIR}")
endforeach()
