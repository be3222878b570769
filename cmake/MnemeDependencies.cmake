# Libraries from the distribution that the torch-free part uses.
find_package(fmt 9 REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS program_options)
find_package(HDF5 1.10 REQUIRED COMPONENTS C)
cmake_path(GET HDF5_C_LIBRARY_hdf5 PARENT_PATH hdf5_directory)
find_library(MNEME_HDF5_ARCHIVE libhdf5.a HINTS ${hdf5_directory})
if(MNEME_HDF5_ARCHIVE)
  add_library(mneme_hdf5_archive STATIC IMPORTED GLOBAL)
  set_target_properties(mneme_hdf5_archive PROPERTIES IMPORTED_LOCATION "${MNEME_HDF5_ARCHIVE}"
                        INTERFACE_LINK_LIBRARIES "${HDF5_C_LIBRARIES}")
endif()
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)

# PCRE2 comes with no CMake package on Debian: an own imported target.
find_path(MNEME_PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(MNEME_PCRE2_LIBRARY pcre2-8 REQUIRED)
add_library(mneme_pcre2 UNKNOWN IMPORTED GLOBAL)
set_target_properties(mneme_pcre2 PROPERTIES IMPORTED_LOCATION "${MNEME_PCRE2_LIBRARY}"
                      INTERFACE_INCLUDE_DIRECTORIES "${MNEME_PCRE2_INCLUDE}")

if(MNEME_WITH_TORCH)
  find_path(MNEME_EIGEN_INCLUDE eigen3/Eigen/Core REQUIRED)  # included by this path, a standard one on Debian

  # SentencePiece's trainer, for vocabularies of pretrained models; its models are read by own code.
  find_path(MNEME_SENTENCEPIECE_INCLUDE sentencepiece_trainer.h REQUIRED)
  find_library(MNEME_SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train REQUIRED)
  find_library(MNEME_SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
  add_library(mneme_sentencepiece_train UNKNOWN IMPORTED GLOBAL)
  set_target_properties(mneme_sentencepiece_train PROPERTIES
                        IMPORTED_LOCATION "${MNEME_SENTENCEPIECE_TRAIN_LIBRARY}"
                        INTERFACE_LINK_LIBRARIES "${MNEME_SENTENCEPIECE_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${MNEME_SENTENCEPIECE_INCLUDE}")
endif()
