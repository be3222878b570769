# mneme_add_strategy(NAME SOURCES a.cpp … CONFIG name.yaml [TESTS a_test.cpp …])
#
# A strategy plugin: the library lib/mneme/strategies/NAME.so with its settings NAME.yaml beside it, and its tests:
# the exported symbols, the contract that every plugin is held to, and the plugin's own. The same call works in this
# tree and, after find_package(mneme), in a project of its own.
include_guard(GLOBAL)
set(MNEME_STRATEGY_SCRIPTS ${CMAKE_CURRENT_LIST_DIR})

# mneme_add_plugin_library(TARGET NAME SOURCE…): only the library.
function(mneme_add_plugin_library target name)
  add_library(${target} MODULE ${ARGN})
  target_link_libraries(${target} PRIVATE mneme::plugin $<TARGET_NAME_IF_EXISTS:mneme_warnings>)
  target_link_options(${target} PRIVATE -Wl,--no-undefined)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib/mneme/strategies)
endfunction()

function(mneme_add_strategy name)
  cmake_parse_arguments(arg "" "CONFIG" "SOURCES;TESTS" ${ARGN})
  if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
    message(FATAL_ERROR "mneme_add_strategy: '${name}' is no strategy name; expected lower-case letters, digits and _")
  endif()
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES OR NOT arg_CONFIG)
    message(FATAL_ERROR "mneme_add_strategy(${name}): found '${ARGN}'; expected SOURCES a.cpp … CONFIG ${name}.yaml "
                        "[TESTS a_test.cpp …]")
  endif()
  set(target strategy_${name})
  mneme_add_plugin_library(${target} ${name} ${arg_SOURCES})
  configure_file(${arg_CONFIG} ${PROJECT_BINARY_DIR}/lib/mneme/strategies/${name}.yaml COPYONLY)
  install(TARGETS ${target} LIBRARY DESTINATION lib/mneme/strategies)
  install(FILES ${arg_CONFIG} DESTINATION lib/mneme/strategies RENAME ${name}.yaml)
  if(TARGET programs)
    add_dependencies(programs ${target})
  endif()

  add_test(NAME strategy.${name}.exports
           COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DPLUGIN=$<TARGET_FILE:${target}>
                   -P ${MNEME_STRATEGY_SCRIPTS}/MnemeCheckExports.cmake)
  add_test(NAME strategy.${name}.contract COMMAND $<TARGET_FILE:mneme::run> plugins check $<TARGET_FILE:${target}>)
  set_tests_properties(strategy.${name}.exports strategy.${name}.contract PROPERTIES LABELS fast TIMEOUT 300 ENVIRONMENT OMP_NUM_THREADS=1)
  if(arg_TESTS AND NOT PROJECT_NAME STREQUAL "mneme")
    message(FATAL_ERROR "mneme_add_strategy(${name}): TESTS serve plugins in Mneme's own tree; here, add tests of your own")
  endif()
  if(arg_TESTS AND COMMAND mneme_add_test)
    mneme_add_test(strategy_${name}_test TORCH SOURCES ${arg_TESTS} LINK mneme_test_toy)
    add_dependencies(strategy_${name}_test ${target})
  endif()
endfunction()
