# The network front: HTTP, WebSocket, TLS.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS SSL Crypto)
find_package(Threads REQUIRED)

# websocketpp 0.8.2 does not compile as C++20.
lamina_room(lamina_ws NATIVE SOURCES ws_codec.cc DEPS lamina_base)
set_target_properties(lamina_ws PROPERTIES CXX_STANDARD 17)
target_compile_definitions(lamina_ws PRIVATE _WEBSOCKETPP_CPP11_STL_)

lamina_room(lamina_net NATIVE SOURCES
  auth.cc http_access.cc http_connection.cc http_content.cc http_parse.cc http_router.cc http_server.cc
  http_stream.cc http_target.cc http_text.cc http_wire.cc model_files.cc rate_limit.cc
  static_files.cc tls.cc tls_certificate.cc ws_connection.cc
  DEPS lamina_platform lamina_ws Threads::Threads)
target_include_directories(lamina_net SYSTEM PRIVATE ${ASIO_INCLUDE_DIR})
# One thread runs the loop and a mutex guards its queue; ThreadSanitizer knows no fences.
target_compile_definitions(lamina_net PRIVATE ASIO_DISABLE_FENCED_BLOCK)
target_link_libraries(lamina_net PRIVATE OpenSSL::SSL OpenSSL::Crypto)
