#pragma once

// The configuration language in one header.
#include "core/config/check.h"
#include "core/config/compose.h"
#include "core/config/json.h"
#include "core/config/node.h"
#include "core/config/plan.h"
#include "core/config/resolve.h"
#include "core/config/section.h"
#include "core/config/yaml.h"
