# The headers that a strategy plugin can see, and their digest, which is part of the toolchain fingerprint. Installed
# with the package: a project out of the tree computes the digest of the headers that it really compiles against.

# mneme_public_headers(OUT ROOT HEADER): HEADER and all that it includes as "core/…", sorted, relative to ROOT.
function(mneme_public_headers out root header)
  set(found "")
  set(waiting ${header})
  while(waiting)
    list(POP_FRONT waiting next)
    if(next IN_LIST found)
      continue()
    endif()
    list(APPEND found ${next})
    file(STRINGS ${root}/${next} lines REGEX "^#include \"core/")
    list(TRANSFORM lines REPLACE "^#include \"([^\"]+)\".*" "\\1")
    list(APPEND waiting ${lines})
  endwhile()
  list(SORT found)
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# mneme_headers_digest(OUT ROOT HEADER…): 12 hex digits over names and contents; configures anew when a header changes.
function(mneme_headers_digest out root)
  set(text "")
  foreach(header IN LISTS ARGN)
    file(SHA256 ${root}/${header} digest)
    string(APPEND text "${digest} ${header}\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${header})
  endforeach()
  string(SHA256 digest "${text}")
  string(SUBSTRING ${digest} 0 12 digest)
  set(${out} ${digest} PARENT_SCOPE)
endfunction()
