# WebAssembly with Debian's clang and wasi-libc: the newest clang that has its wasm32 libraries.
# Rooms are compiled without exceptions and without threads.
set(CMAKE_SYSTEM_NAME Generic)  # CMake 3.25 knows no WASI
set(CMAKE_SYSTEM_PROCESSOR wasm32)
foreach(version 22 19)
  file(GLOB builtins /usr/lib/llvm-${version}/lib/clang/*/lib/wasi)
  if(EXISTS /usr/bin/clang++-${version} AND builtins)
    set(CMAKE_C_COMPILER clang-${version})
    set(CMAKE_CXX_COMPILER clang++-${version})
    break()
  endif()
endforeach()
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
set(CMAKE_CXX_COMPILER_TARGET wasm32-wasi)
set(CMAKE_C_FLAGS_INIT "-msimd128 -Wno-deprecated")  # newer clang calls the target wasm32-wasip1
set(CMAKE_CXX_FLAGS_INIT "-msimd128 -Wno-deprecated -fno-exceptions")
set(CMAKE_EXE_LINKER_FLAGS_INIT "--no-wasm-opt -Wl,-z,stack-size=1048576")
set(CMAKE_FIND_ROOT_PATH /usr/lib/wasm32-wasi)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)  # headers alone may be the host's
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
