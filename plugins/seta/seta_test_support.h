#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "tests/support/toy.h"

// What the tests of SETA share: its toy runs, and what it keeps as any outsider can see it.
namespace mneme::test {

using Changes = std::map<std::string, ParamValue>;

inline ToyOptions toy(std::int64_t tasks) {
  ToyOptions options;
  options.tasks = tasks;
  return options;
}

inline Changes with(const std::string& backend, Changes more = {}) {
  more["backend"] = backend;
  more.emplace("density", 0.1);
  more.emplace("gate_lambda", 0.1);
  return more;
}

inline AdapterId adapter_of(ToyRun& run, std::int64_t task) {
  return run.learner().bank().find("task" + std::to_string(task));
}

inline at::Tensor logits(ToyRun& run, std::int64_t task) {
  ForwardSpec spec = with_adapters({adapter_of(run, task)});
  spec.want_logits = true;
  at::NoGradGuard off;
  return run.learner().forward(spec, make_batch(toy_samples(task, 6))).logits;
}

/// The plugin's state, as any outsider can see it: what visit_state() names.
class Collector final : public StateVisitor {
 public:
  std::map<std::string, at::Tensor> tensors;

 protected:
  void on_tensor(const std::string& path, at::Tensor& value) override {
    if (value.defined()) tensors[path] = value.clone();
  }
  void on_integer(const std::string&, std::int64_t&) override {}
  void on_real(const std::string&, double&) override {}
  void on_text(const std::string&, std::string&) override {}
};

inline std::map<std::string, at::Tensor> state_of(ToyRun& run) {
  Collector collector;
  collector.object("s", run.strategy());
  return collector.tensors;
}

inline at::Tensor ids_of(ToyRun& run, std::int64_t task, std::int64_t linear) {
  return state_of(run).at(fmt::format("s/units/{}/ids/{}", task, linear));
}

inline std::int64_t linears_of(ToyRun& run) {
  std::int64_t count = 0;
  for (const auto& [name, value] : state_of(run)) count += name.starts_with("s/units/1/ids/");
  return count;
}

/// Values of a task's units of one linear: a row each.
inline at::Tensor units_of(ToyRun& run, std::int64_t task, std::int64_t linear) {
  const AdapterBank& bank = run.learner().bank();
  const AdapterId id = adapter_of(run, task);
  std::vector<std::int64_t> order;
  std::map<std::int64_t, std::vector<at::Tensor>> parts;
  for (const ParameterView& view : bank.views(id)) {
    if (!parts.contains(view.linear)) order.push_back(view.linear);
    const at::Tensor part = view.of(bank.values(id).detach());
    parts[view.linear].push_back(view.role == ParameterRole::kLoraB ? part.t()
                                 : part.dim() == 1                  ? part.unsqueeze(1)
                                                                    : part);
  }
  return at::cat(parts.at(order.at(static_cast<std::size_t>(linear))), 1).clone();
}

}  // namespace mneme::test
