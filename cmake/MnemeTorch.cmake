# LibTorch as own imported targets: torch's CMake package demands a CUDA toolkit that a CPU build does not need.
# LIBTORCH (cache or environment) names the directory that holds lib/ and include/, such as an installed Python torch.
if(NOT LIBTORCH AND DEFINED ENV{LIBTORCH})
  set(LIBTORCH $ENV{LIBTORCH})
endif()
if(NOT LIBTORCH)  # where tools/setup.sh unpacks it
  set(caches "$ENV{MNEME_CACHE}" "$ENV{XDG_CACHE_HOME}/mneme" "$ENV{HOME}/.cache/mneme")
  find_path(LIBTORCH lib/libtorch_cpu.so PATHS ${caches} PATH_SUFFIXES libtorch-2.11.0/torch NO_DEFAULT_PATH)
endif()
set(LIBTORCH "${LIBTORCH}" CACHE PATH "LibTorch: the directory with lib/ and include/")
if(NOT EXISTS "${LIBTORCH}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch not found: '${LIBTORCH}/lib/libtorch_cpu.so' does not exist. "
                      "Run tools/mneme, which fetches it, or set LIBTORCH to the directory of an installed torch.")
endif()
# The CUDA runtime libraries that libtorch_cpu needs even on a CPU lie beside torch/ in the unpacked wheels.
file(GLOB MNEME_CUDA_LIBS LIST_DIRECTORIES true "${LIBTORCH}/../nvidia/*/lib")

add_library(mneme_c10 SHARED IMPORTED GLOBAL)
set_target_properties(mneme_c10 PROPERTIES IMPORTED_LOCATION "${LIBTORCH}/lib/libc10.so")
add_library(mneme_torch SHARED IMPORTED GLOBAL)
set_target_properties(mneme_torch PROPERTIES IMPORTED_LOCATION "${LIBTORCH}/lib/libtorch_cpu.so")
target_include_directories(mneme_torch SYSTEM INTERFACE "${LIBTORCH}/include" "${LIBTORCH}/include/torch/csrc/api/include")
target_link_libraries(mneme_torch INTERFACE mneme_c10)
# LibTorch brings headers of another fmt than the one that spdlog and our libraries link: ours must be found first.
get_target_property(MNEME_FMT_INCLUDE fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include)
file(CREATE_LINK ${MNEME_FMT_INCLUDE}/fmt ${PROJECT_BINARY_DIR}/include/fmt SYMBOLIC)
target_include_directories(mneme_torch SYSTEM BEFORE INTERFACE ${PROJECT_BINARY_DIR}/include)
# One OpenMP runtime in the process: the one that LibTorch ships, where it ships one.
set(MNEME_TORCH_GOMP "")
if(EXISTS "${LIBTORCH}/lib/libgomp.so.1")
  set(MNEME_TORCH_GOMP "${LIBTORCH}/lib/libgomp.so.1")
  target_link_options(mneme_torch INTERFACE "-Wl,--no-as-needed,${MNEME_TORCH_GOMP},--as-needed")
endif()
set(MNEME_TORCH_RPATH "${LIBTORCH}/lib" ${MNEME_CUDA_LIBS})
foreach(directory IN LISTS MNEME_TORCH_RPATH)
  target_link_options(mneme_torch INTERFACE "-Wl,-rpath-link,${directory}")
endforeach()
list(APPEND CMAKE_BUILD_RPATH ${MNEME_TORCH_RPATH})
list(APPEND CMAKE_INSTALL_RPATH "$ORIGIN/../lib" "$ORIGIN/../.." ${MNEME_TORCH_RPATH})
