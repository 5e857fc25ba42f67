# The one place that sets compile flags. lamina_flags: everything; lamina_core_flags: rooms that
# also build for the browser, where no exceptions exist.
add_library(lamina_flags INTERFACE)
target_compile_options(lamina_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  -ffp-contract=off  # a*b+c must mean the same in every room; kernels ask for fma by name
  # GCC 12 warns of std::string's own copies (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<BOOL:${LAMINA_DEV}>:-Werror>)
if(LAMINA_SANITIZE)
  target_compile_options(lamina_flags INTERFACE
    -fsanitize=${LAMINA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(lamina_flags INTERFACE -fsanitize=${LAMINA_SANITIZE})
endif()
if(LAMINA_FUZZ)
  target_compile_options(lamina_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_include_directories(lamina_flags INTERFACE ${PROJECT_SOURCE_DIR})

add_library(lamina_core_flags INTERFACE)
target_link_libraries(lamina_core_flags INTERFACE lamina_flags)
target_compile_options(lamina_core_flags INTERFACE -fno-exceptions)
