#pragma once

#include <string>
#include <vector>

#include "core/config/compose.h"

namespace mneme::cli {

/// One word that can stand where the cursor is.
struct Candidate {
  std::string word;
  std::string note;  ///< what it is or holds now, for shells that show it
};

/// What an override can begin with: groups, keys one level at a time (map keys end in '.', others in '='), behind '='
/// the options of a group or the key's value. Never throws: what does not compose is left out.
/// \param request  the experiment with the other overrides of the command line
/// \param word     as far as it is written, with a leading +, ++ or ~
std::vector<Candidate> complete_override(config::Request request, const std::string& word);

}  // namespace mneme::cli
