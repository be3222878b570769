# cmake -DNM=nm -DPLUGIN=name.so -P MnemeCheckExports.cmake
#
# A strategy plugin exports exactly two strong symbols, its descriptor and its toolchain marker. Weak and unique symbols
# are the templates of other libraries, which hidden visibility does not cover.
execute_process(COMMAND ${NM} -D --defined-only ${PLUGIN} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${symbols}")
set(strong "")
foreach(line IN LISTS lines)
  if(line MATCHES "^[0-9a-f]+ [ABDGRSTi] (.+)$")
    list(APPEND strong ${CMAKE_MATCH_1})
  endif()
endforeach()
list(SORT strong)
if(NOT "${strong}" MATCHES "^mneme_plugin_v[0-9]+;mneme_toolchain_[a-zA-Z0-9_]+$")
  string(REPLACE ";" "\n  " strong "${strong}")
  message(FATAL_ERROR "${PLUGIN} exports\n  ${strong}\nexpected mneme_plugin_v1 and mneme_toolchain_… alone; put the rest "
                      "into an anonymous namespace and end the source with MNEME_STRATEGY_PLUGIN(...)")
endif()
