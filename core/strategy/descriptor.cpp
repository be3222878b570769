#include "core/strategy/descriptor.h"

#include <utility>

namespace mneme {

std::vector<std::string> capability_names(std::uint32_t capabilities) {
  constexpr std::pair<Capability, const char*> kNames[] = {
      {kTaskIdAtTest, "task_id_at_test"},      {kStoresExamples, "stores_examples"},
      {kStoresModelCopy, "stores_model_copy"}, {kGrowsWithTasks, "grows_with_tasks"},
      {kJointTraining, "joint_training"},      {kGeneratesExamples, "generates_examples"},
      {kAdaptsAtTest, "adapts_at_test"},
  };
  std::vector<std::string> names;
  for (const auto& [capability, name] : kNames)
    if ((capabilities & capability) != 0) names.emplace_back(name);
  return names;
}

}  // namespace mneme
