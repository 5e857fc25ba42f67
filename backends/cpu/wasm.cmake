# A WebAssembly module links one of lamina_cpu_kernels and lamina_cpu_kernels_relaxed, and one of
# lamina_cpu_single and lamina_cpu_shared.
#
# Engines without relaxed SIMD refuse a module that has its instructions.
set(relaxed_sources isa/wasm_probe.cc isa/wasm_relaxed.cc isa/wasm_relaxed_s8.cc isa/wasm_relaxed_u8.cc)
set_source_files_properties(${relaxed_sources} PROPERTIES COMPILE_OPTIONS "-mrelaxed-simd;-O3")
lamina_room(lamina_cpu_kernels_relaxed SOURCES ${kernel_sources} ${relaxed_sources}
  DEPS lamina_tensor)
target_compile_definitions(lamina_cpu_kernels_relaxed PRIVATE LAMINA_WASM_RELAXED)

# The libc is made for one thread, so nothing but what workers run has atomics; without -matomics
# they become plain reads and writes.
if(TARGET lamina_engine)
  foreach(kind single shared)
    lamina_room(lamina_cpu_${kind} SOURCES ${backend_sources} thread_pool_wasm.cc
      DEPS lamina_tensor lamina_engine)
  endforeach()
  target_compile_options(lamina_cpu_shared PRIVATE -matomics -mbulk-memory)
endif()
