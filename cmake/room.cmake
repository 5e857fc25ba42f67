# lamina_room(NAME SOURCES a.cc ... [DEPS target ...] [NATIVE])
# A static library for one room. Rooms are free of exceptions unless NATIVE.
function(lamina_room name)
  cmake_parse_arguments(ROOM "NATIVE" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(${name} PUBLIC ${ROOM_DEPS})
  if(ROOM_NATIVE)
    target_link_libraries(${name} PRIVATE lamina_flags)
  else()
    target_link_libraries(${name} PRIVATE lamina_core_flags)
  endif()
endfunction()

# lamina_test(NAME LABEL unit|conformance|golden|e2e SOURCES ... [DEPS ...])
# One GoogleTest program, run as one process. What needs a Vulkan device is named by lamina_gpu_test.
function(lamina_test name)
  cmake_parse_arguments(T "" "LABEL" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ${T_DEPS} GTest::gtest_main GTest::gmock lamina_flags)
  target_compile_definitions(${name} PRIVATE
    LAMINA_SOURCE_DIR="${PROJECT_SOURCE_DIR}" LAMINA_BINARY_DIR="${PROJECT_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABEL}" TIMEOUT 600)
endfunction()

# lamina_gpu_test(PROGRAM NAME LABEL label FILTER gtest-filter [ENVIRONMENT a=b ...])
# Some tests of a lamina_test as a run of their own, "Skipped" where Vulkan has no device. They leave
# the program's own run.
function(lamina_gpu_test program name)
  cmake_parse_arguments(T "" "LABEL;FILTER" "ENVIRONMENT" ${ARGN})
  add_test(NAME ${name} COMMAND ${program} --gtest_filter=${T_FILTER})
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABEL}" TIMEOUT 1800
    ENVIRONMENT "${T_ENVIRONMENT}" SKIP_REGULAR_EXPRESSION "skipped: no Vulkan device")
  set_property(TEST ${program} PROPERTY ENVIRONMENT "GTEST_FILTER=-*ulkan*:*Gpu*")
endfunction()
