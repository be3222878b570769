# mneme_add_test(NAME [TORCH] [UNREGISTERED] SOURCES a_test.cpp … [LABELS fast|slow|parity …] [LINK lib …])
#
# One test executable per module on the shared Catch2 main; TORCH links libmneme instead of mneme_light. UNREGISTERED
# builds it only, for the caller to make tests of.
find_package(Catch2 REQUIRED)
function(mneme_add_test name)
  cmake_parse_arguments(arg "TORCH;UNREGISTERED" "" "SOURCES;LABELS;LINK" ${ARGN})
  if(arg_TORCH AND NOT MNEME_WITH_TORCH)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE mneme_test_main $<IF:$<BOOL:${arg_TORCH}>,mneme,mneme_light> mneme_warnings
                                        ${arg_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_compile_definitions(${name} PRIVATE MNEME_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                             MNEME_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(arg_UNREGISTERED)
    return()
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS fast)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 600
    # Toy models are too small for threads, and tests share the machine.
    ENVIRONMENT OMP_NUM_THREADS=1)
endfunction()
