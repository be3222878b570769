# Installation, and the same layout in the build tree, so that build/bin/mneme finds all relative to itself:
#   bin/                    mneme, mneme-run
#   lib/libmneme.so         lib/mneme/strategies/<name>.so, <name>.yaml; lib/mneme/vocabulary.so
#   include/mneme/core/     the headers that core/plugin.h reaches
#   lib/cmake/mneme/        find_package(mneme), mneme_add_strategy()
#   share/mneme/            conf/ (config groups), benchmarks/, models/
include(CMakePackageConfigHelpers)

install(TARGETS mneme_program RUNTIME DESTINATION bin)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/share/mneme)
foreach(pair IN ITEMS conf:experiments/conf benchmarks:benchmarks models:models)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 folder)
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${folder} ${PROJECT_BINARY_DIR}/share/mneme/${name} SYMBOLIC)
  install(DIRECTORY ${folder}/ DESTINATION share/mneme/${name} OPTIONAL)
endforeach()

if(MNEME_WITH_TORCH)
  install(TARGETS mneme-run RUNTIME DESTINATION bin)
  install(TARGETS mneme LIBRARY DESTINATION lib)
  file(REMOVE_RECURSE ${PROJECT_BINARY_DIR}/include/mneme)
  foreach(header IN LISTS MNEME_PUBLIC_HEADERS)
    cmake_path(GET header PARENT_PATH folder)
    install(FILES ${header} DESTINATION include/mneme/${folder})
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include/mneme/${folder})
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${header} ${PROJECT_BINARY_DIR}/include/mneme/${header} SYMBOLIC)
  endforeach()
  set(package lib/cmake/mneme)
  configure_package_config_file(cmake/mnemeConfig.cmake.in ${PROJECT_BINARY_DIR}/${package}/mnemeConfig.cmake
                                INSTALL_DESTINATION ${package})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/${package}/mnemeConfigVersion.cmake
                                   COMPATIBILITY SameMinorVersion)
  foreach(module IN ITEMS Torch PublicHeaders Strategy CheckExports)
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/cmake/Mneme${module}.cmake
                     ${PROJECT_BINARY_DIR}/${package}/Mneme${module}.cmake SYMBOLIC)
    install(FILES cmake/Mneme${module}.cmake DESTINATION ${package})
  endforeach()
  install(FILES ${PROJECT_BINARY_DIR}/${package}/mnemeConfig.cmake
                ${PROJECT_BINARY_DIR}/${package}/mnemeConfigVersion.cmake
          DESTINATION ${package})
endif()
