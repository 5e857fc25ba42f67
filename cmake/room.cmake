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
# One GoogleTest program; ctest runs each of its suites' tests as one process per program shard.
function(lamina_test name)
  cmake_parse_arguments(T "" "LABEL" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ${T_DEPS} GTest::gtest_main GTest::gmock lamina_flags)
  target_compile_definitions(${name} PRIVATE
    LAMINA_SOURCE_DIR="${PROJECT_SOURCE_DIR}" LAMINA_BINARY_DIR="${PROJECT_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABEL}" TIMEOUT 600)
endfunction()
