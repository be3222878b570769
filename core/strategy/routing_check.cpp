#include "core/strategy/routing_check.h"

#include <ATen/ATen.h>

#include <iterator>

namespace mneme {

void RoutingCheck::report(Learner& learner,
                          const std::function<std::vector<std::int64_t>(const at::Tensor&)>& route) const {
  const auto tasks = static_cast<std::int64_t>(held_out_.size());
  at::Tensor counts = at::zeros({tasks, tasks}, at::kDouble);
  auto cells = counts.accessor<double, 2>();
  std::int64_t row = 0;
  for (const auto& [task, features] : held_out_) {
    for (const std::int64_t chosen : route(features))
      if (const auto at = held_out_.find(chosen); at != held_out_.end())
        ++cells[row][std::distance(held_out_.begin(), at)];
    ++row;
  }
  learner.report_array("router/confusion/" + std::to_string(tasks), counts);
  if (const double all = counts.sum().item<double>(); all > 0)
    learner.report("router/accuracy", counts.diagonal().sum().item<double>() / all);
}

void RoutingCheck::visit_state(StateVisitor& visitor) {
  std::vector<std::int64_t> tasks;
  for (const auto& [task, features] : held_out_) tasks.push_back(task);
  visitor.integers("tasks", tasks);
  if (visitor.loading()) held_out_.clear();
  for (const std::int64_t task : tasks) visitor.tensor(std::to_string(task), held_out_[task]);
}

}  // namespace mneme
