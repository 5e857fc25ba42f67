lamina_test(test_daemon_service LABEL unit
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/prompt_bound_test.cc ${CMAKE_CURRENT_LIST_DIR}/service_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/service_stress_test.cc
  DEPS lamina_daemon_service lamina_convert lamina_cpu lamina_reference)
