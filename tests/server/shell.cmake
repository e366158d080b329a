# The server's shell: configuration, keys, gate, metrics, health, and the binary as a process.
foreach(name config key_ring gate metrics health)
  stele_test(NAME server_${name}_test SOURCES ${name}_test.cc
    LINK stele_server OpenSSL::Crypto LABELS unit)
endforeach()
foreach(name shell stop)
  stele_test(NAME server_${name}_test SOURCES ${name}_test.cc LINK stele_server LABELS e2e
    DEFINES "STELE_SERVER_BINARY=\"$<TARGET_FILE:stele-server>\"")
  add_dependencies(server_${name}_test stele-server stele-probe)
endforeach()
# GCC 12 under sanitizers takes the insides of std::regex for uninitialized.
foreach(name metrics shell stop)
  target_compile_options(server_${name}_test PRIVATE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endforeach()
