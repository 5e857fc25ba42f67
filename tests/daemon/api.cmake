lamina_test(test_daemon_protocol LABEL unit SOURCES protocol_test.cc session_frames_test.cc config_test.cc
  DEPS lamina_api lamina_platform)
lamina_test(test_daemon_sessions LABEL unit SOURCES desk_test.cc session_hub_test.cc openai_test.cc
  DEPS lamina_api lamina_platform)
lamina_test(test_daemon_loss LABEL unit SOURCES loss_test.cc
  DEPS lamina_api lamina_net lamina_daemon_service lamina_cpu lamina_reference)
