# Warnings for our own code; third-party headers come in as SYSTEM includes.
option(MNEME_WERROR "Treat warnings as errors" ON)
set(MNEME_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, for instance address,undefined")

add_library(mneme_warnings INTERFACE)
target_compile_options(mneme_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wconversion
                                                -Wno-sign-conversion $<$<BOOL:${MNEME_WERROR}>:-Werror>
                                                # GCC 12 bug 105651: false alarms on "text" + std::string
                                                $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(MNEME_SANITIZE)
  add_compile_options(-fsanitize=${MNEME_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${MNEME_SANITIZE})
endif()
