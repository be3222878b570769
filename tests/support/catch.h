#pragma once
// The only file that names a Catch2 header: version 2 from Debian today; version 3 would change just this file.
#include <catch2/catch.hpp>
