#pragma once

#include <torch/version.h>

#include <cstddef>

/// \file
/// The toolchain fingerprint: all that the binary interface between the program and a strategy plugin depends on, as a
/// translation unit really sees it. It consists of preprocessor tokens alone, so that it can be the name of an exported
/// symbol, which the loader reads before any code of the plugin runs:
/// mneme_toolchain_api1_gcc12_2_0_cxx202002L_abi1_plain_nosanitizer_torch2_11_0_headers6c1f….
/// MNEME_HEADERS_DIGEST comes from mneme_add_strategy(): 12 hex digits over the content of the public headers.

/// Raised when the plugin interface changes so that old plugins cannot be used; part of the descriptor's name.
#define MNEME_PLUGIN_API 1
/// Raised when the descriptor grows at its end.
#define MNEME_PLUGIN_API_MINOR 0

#if defined(__clang__)
#define MNEME_TOOLCHAIN_COMPILER MNEME_TOOLCHAIN_VERSION(clang, __clang_major__, __clang_minor__, __clang_patchlevel__)
#else
#define MNEME_TOOLCHAIN_COMPILER MNEME_TOOLCHAIN_VERSION(gcc, __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__)
#endif

#if defined(_GLIBCXX_DEBUG)
#define MNEME_TOOLCHAIN_CHECKS debug
#elif defined(_GLIBCXX_ASSERTIONS)
#define MNEME_TOOLCHAIN_CHECKS assertions
#else
#define MNEME_TOOLCHAIN_CHECKS plain
#endif

#if defined(__SANITIZE_ADDRESS__)
#define MNEME_TOOLCHAIN_SANITIZER asan
#elif defined(__SANITIZE_THREAD__)
#define MNEME_TOOLCHAIN_SANITIZER tsan
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MNEME_TOOLCHAIN_SANITIZER asan
#elif __has_feature(thread_sanitizer)
#define MNEME_TOOLCHAIN_SANITIZER tsan
#endif
#endif
#ifndef MNEME_TOOLCHAIN_SANITIZER
#define MNEME_TOOLCHAIN_SANITIZER nosanitizer
#endif

#define MNEME_TOOLCHAIN_LIBTORCH \
  MNEME_TOOLCHAIN_VERSION(torch, TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR, TORCH_VERSION_PATCH)

// Pairs of macros: the outer one expands its arguments, the inner one joins them.
#define MNEME_TOOLCHAIN_VERSION(name, major, minor, patch) MNEME_TOOLCHAIN_VERSION_(name, major, minor, patch)
#define MNEME_TOOLCHAIN_VERSION_(name, major, minor, patch) name##major##_##minor##_##patch
#define MNEME_TOOLCHAIN_JOIN(p, a, c, x, b, k, s, t, h) MNEME_TOOLCHAIN_JOIN_(p, a, c, x, b, k, s, t, h)
#define MNEME_TOOLCHAIN_JOIN_(p, a, c, x, b, k, s, t, h) \
  p##api##a##_##c##_cxx##x##_abi##b##_##k##_##s##_##t##_headers##h
#define MNEME_TOOLCHAIN_STRING(tokens) MNEME_TOOLCHAIN_STRING_(tokens)
#define MNEME_TOOLCHAIN_STRING_(tokens) #tokens

/// The name of the marker symbol.
#define MNEME_TOOLCHAIN_SYMBOL                                                                    \
  MNEME_TOOLCHAIN_JOIN(mneme_toolchain_, MNEME_PLUGIN_API, MNEME_TOOLCHAIN_COMPILER, __cplusplus, \
                       _GLIBCXX_USE_CXX11_ABI, MNEME_TOOLCHAIN_CHECKS, MNEME_TOOLCHAIN_SANITIZER, \
                       MNEME_TOOLCHAIN_LIBTORCH, MNEME_HEADERS_DIGEST)

/// The same as text, without the prefix.
#define MNEME_TOOLCHAIN (&MNEME_TOOLCHAIN_STRING(MNEME_TOOLCHAIN_SYMBOL)[sizeof("mneme_toolchain_") - 1])
