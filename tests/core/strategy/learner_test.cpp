// Services of the learner that methods build on.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
AdapterOptions whole_model() {
  AdapterOptions options;
  options.kind = "full";
  return options;
}

/// The toy model, all of whose weights are trained, with a head of zeros: whatever a row's hidden state, every label is
/// as likely as every other, and the head is a linear model whose residuals have one known variance.
struct FlatHead {
  FlatHead() : learner(toy_model(), LearnerOptions{1, whole_model(), 4, 4, {}}, sink) {
    learner.bank().set_trainable({learner.create_adapter("all")});
    for (const ParameterView& view : learner.bank().views())
      if (view.name.find("lm_head") != std::string::npos) head = view;
    head.of(learner.bank().values()).zero_();
  }
  std::int64_t labels() const { return head.shape[0]; }

  VectorSink sink;
  Learner learner;
  ParameterView head;
};
}  // namespace

TEST_CASE("the Fisher of a linear model is the residuals' variance times the diagonal of X'X / N", "[fisher]") {
  FlatHead toy;
  // Every prompt with every label, so that the mean over the data is the expectation over the model.
  Dataset data;
  for (const SamplePtr& sample : toy_samples(1, 5))
    for (std::int64_t label = 0; label < toy.labels(); ++label) {
      Sample one = *sample;
      one.tokens.resize(static_cast<std::size_t>(one.first_label));
      one.tokens.push_back(static_cast<std::int32_t>(label));
      data.push_back(std::make_shared<const Sample>(std::move(one)));
    }
  at::Tensor moments = at::zeros({16}, at::kDouble);
  for (const SamplePtr& sample : data) {
    at::NoGradGuard off;
    ForwardSpec spec = toy.learner.active();
    spec.hidden = model::HiddenStates::kLast;
    const at::Tensor x = toy.learner.forward(spec, make_batch({sample})).hidden.back()[-1].to(at::kDouble);
    moments += x.square() / static_cast<double>(data.size());
  }
  const at::Tensor fisher = toy.head.of(toy.learner.fisher_diagonal(toy.learner.active(), data, 0)).to(at::kDouble);
  const double p = 1.0 / static_cast<double>(toy.labels());
  for (std::int64_t label = 0; label < toy.labels(); ++label)
    CHECK(((fisher[label] - p * (1 - p) * moments).abs().max() / (p * moments.max())).item<double>() < 1e-5);
}

TEST_CASE("the Fisher squares each sample's gradient, not their mean, and counts as many samples as asked for",
          "[fisher]") {
  FlatHead toy;
  // Two samples of one prompt whose gradients nearly cancel: the square of the mean would be far too small.
  Dataset data = {toy_samples(1, 1).front()};
  const auto with_label = [&](std::int32_t label) {
    Sample one = *data.front();
    one.tokens.resize(static_cast<std::size_t>(one.first_label));
    one.tokens.push_back(label);
    return std::make_shared<const Sample>(std::move(one));
  };
  data = {with_label(3), with_label(7), with_label(3)};
  const auto fisher = [&](std::int64_t limit) {
    return toy.head.of(toy.learner.fisher_diagonal(toy.learner.active(), data, limit)).clone();
  };
  const at::Tensor two = fisher(2), one = fisher(1), all = fisher(0);
  CHECK(at::allclose(two[3], two[7], 1e-4));
  CHECK(at::allclose(one[3] / one[7], at::full({16}, 23.0 * 23.0), 1e-3));  // (1 - p)² against p², p = 1 / 24
  CHECK(at::allclose(all[3] / all[7], at::full({16}, (2 * 529.0 + 1) / (2 + 529)), 1e-3));
  CHECK(toy.learner.fisher_diagonal(toy.learner.active(), {}, 0).abs().max().item<float>() == 0);
}
