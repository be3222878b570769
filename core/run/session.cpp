#include "core/run/session.h"

#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>

#include "core/adapter/peft.h"
#include "core/base/build_info.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/config/yaml.h"

namespace mneme::run {
namespace fs = std::filesystem;

namespace {
/// Work of answering one test prompt, in units of training on one sample; only ETAs depend on it.
constexpr double kUnitsPerPrompt = 0.4;

std::string overrides_of(const fs::path& directory) {
  const fs::path file = directory / ".hydra" / "overrides.yaml";
  return fs::exists(file) ? read_file(file) : "[]\n";
}

/// Largest resident memory of this process so far.
std::int64_t peak_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
}  // namespace

Session::Session(fs::path directory, const config::Node& resolved, plugin::PluginRegistry& plugins)
    : directory_(std::move(directory)),
      resolved_(resolved),
      options_(read_options(resolved)),
      descriptor_(plugins.load(options_.strategy)) {
  stream_ = build_stream(options_);
  options_.train.epochs_per_task = epochs_per_task(options_.train, stream_);
  tokenizer_ = text::load_tokenizer(model_directory(options_.model));
  tasks_ = task_infos(stream_);
  const data::SequenceForm form = sequence_form(*tokenizer_, options_.model);
  for (std::size_t i = 0; i < stream_.tasks.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i) + 1;
    train_.push_back(build_samples(stream_.tasks[i], data::Split::kTrain, index, form, *tokenizer_, options_));
    eval_.push_back(build_samples(stream_.tasks[i], data::Split::kEval, index, form, *tokenizer_, options_));
  }
  std::optional<StateLoader> state;
  if (fs::exists(state_file())) visit_progress(state.emplace(state_file()));
  record_ = record::RecordWriter::resume(directory_ / "run.h5", position_);
  learner_.emplace(build_model(options_.model),
                   LearnerOptions{options_.seed, options_.adapter, options_.train.batch_size, options_.eval.decode_slots,
                                  options_.cache},
                   *record_);
  strategy_ = plugin::create_strategy(descriptor_, strategy_params(descriptor_.parameters(), options_.strategy_node));
  trainer_.emplace(*learner_, *strategy_, options_.train, *record_);
  options_.eval.task_id = (descriptor_.capabilities & kTaskIdAtTest) != 0;
  evaluator_.emplace(*learner_, *strategy_, stream_, *tokenizer_, options_.eval, options_.cache);
  strategy_->attach(*learner_);
  plan_stages();
  if (state) visit_state(*state);
}

Session::~Session() = default;

void Session::plan_stages() {
  stages_ = strategy_->plan(tasks_);
  MNEME_CHECK(!stages_.empty(), "strategy '{}' plans no stage at all", descriptor_.name);
  double total = 0;
  for (const TaskInfo& task : tasks_)
    units_per_row_ +=
        kUnitsPerPrompt * static_cast<double>(options_.eval.split == "eval" ? task.eval_rows : task.test_rows);
  for (const Stage& stage : stages_) {
    for (const std::int64_t task : stage.tasks)
      MNEME_CHECK(task >= 1 && task <= static_cast<std::int64_t>(tasks_.size()),
                  "strategy '{}' plans task {} of a stream of {}", descriptor_.name, task, tasks_.size());
    MNEME_CHECK(!stage.tasks.empty(), "strategy '{}' plans a stage without tasks", descriptor_.name);
    total += units_per_row_ +
             static_cast<double>(
                 options_.train.batch_size *
                 trainer_->expected_steps(static_cast<std::int64_t>(view(stage).train.size()), stage.tasks.back()));
  }
  progress_.emplace(directory_ / "progress.json", static_cast<std::int64_t>(tasks_.size()), total + units_per_row_);
}

RunInfo Session::info() const {
  RunInfo info;
  info.run_id = directory_.filename().string();
  info.config = config::dump_yaml(resolved_);
  info.overrides = overrides_of(directory_);
  info.environment = {{"program_version", build_info().version},
                      {"git_commit", build_info().git_commit},
                      {"compiler", build_info().compiler},
                      {"libtorch", TORCH_VERSION},
                      {"cpu", cpu_name()},
                      {"gpu", ""},
                      {"strategy", descriptor_.name},
                      {"plugin_version", descriptor_.version},
                      {"plugin_fingerprint", sha256_hex(descriptor_.toolchain).substr(0, 16)}};
  info.environment_integers = {{"threads", at::get_num_threads()}, {"seed", static_cast<std::int64_t>(options_.seed)}};
  info.tasks = tasks_;
  return info;
}

void Session::visit_progress(StateVisitor& visitor) {
  visitor.integer("stages_done", stages_done_);
  visitor.integer("record/steps", position_.steps);
  visitor.integer("record/terms", position_.terms);
  visitor.integer("record/examples", position_.examples);
  visitor.integer("record/costs", position_.costs);
}

void Session::visit_state(StateVisitor& visitor) {
  visitor.object("bank", learner_->bank());
  visitor.object("strategy", *strategy_);
  visitor.object("trainer", *trainer_);
}

void Session::checkpoint() {
  // The record first: a state must never speak of rows that the record does not hold.
  record_->checkpoint();
  if (!options_.save.checkpoint) return;
  position_ = record_->position();
  fs::create_directories(state_file().parent_path());
  StateSaver saver;
  visit_progress(saver);
  visit_state(saver);
  saver.write(state_file());
}

TaskView Session::view(const Stage& stage) const {
  TaskView view;
  view.tasks = stage.tasks;
  for (const std::int64_t task : stage.tasks) {
    const auto i = static_cast<std::size_t>(task - 1);
    view.name += (view.name.empty() ? "" : "+") + tasks_[i].name;
    view.train.insert(view.train.end(), train_[i].begin(), train_[i].end());
    view.eval.insert(view.eval.end(), eval_[i].begin(), eval_[i].end());
  }
  return view;
}

double Session::evaluate(std::int64_t after) {
  const auto start = std::chrono::steady_clock::now();
  progress_->update("evaluate", after, units_done_, "");
  const auto row =
      evaluator_->evaluate(after, stages_.back().tasks.back(), *record_, [&](std::int64_t done, std::int64_t total) {
        progress_->update("evaluate", after,
                          units_done_ + units_per_row_ * static_cast<double>(done) / static_cast<double>(total), "");
      });
  units_done_ += units_per_row_;
  std::string cells;
  for (const double cell : row) cells += fmt::format(" {:.3f}", cell);
  spdlog::info("scores after {} task(s):{}", after, cells);
  return seconds_since(start);
}

void Session::run_stage(const Stage& stage) {
  TaskView task = view(stage);
  task.stage = stages_done_ + 1;
  spdlog::info("task {}/{} '{}': {} samples", task.stage, stages_.size(), task.name, task.train.size());
  const double before = learner_->work().flops;
  const double base = units_done_;
  std::int64_t steps = 0;
  const TrainCost trained = trainer_->train(task, [&](const TrainProgress& p) {
    units_done_ = base + static_cast<double>(options_.train.batch_size * ++steps);
    progress_->update("train", task.task(), units_done_, fmt::format("loss {:.3f}", p.loss));
  });
  CostEvent cost;
  cost.task = task.task();
  cost.train_seconds = trained.train_seconds;
  cost.strategy_seconds = trained.strategy_seconds;
  cost.tokens = trained.tokens;
  cost.eval_seconds = evaluate(task.task());
  cost.flops = learner_->work().flops - before;
  cost.peak_bytes = peak_bytes();
  cost.trainable_parameters = learner_->bank().values().numel();
  StateSizer sizer;
  sizer.object("bank", learner_->bank());
  sizer.object("strategy", *strategy_);
  cost.state_bytes = sizer.bytes();
  record_->cost(cost);
}

void Session::save_adapters(std::int64_t after) {
  const bool last = stages_done_ + 1 == static_cast<std::int64_t>(stages_.size());
  if (options_.save.adapters == "none" || (options_.save.adapters == "last" && !last)) return;
  const fs::path directory = directory_ / "adapters" / std::to_string(after);
  if (options_.adapter.kind == "full") {
    learner_->model().save(directory, learner_->model().dtype());
    return;
  }
  std::vector<AdapterId> ids;
  for (const AdapterId id : learner_->bank().ids())
    if (learner_->bank().lora_options(id) != nullptr) ids.push_back(id);
  for (const AdapterId id : ids)
    write_peft(ids.size() == 1 ? directory : directory / learner_->bank().name(id), learner_->bank(), id,
               learner_->model(), options_.model.path.string());
}

void Session::run() {
  record_->begin(info());
  if (stages_done_ >= 0) spdlog::info("going on after {} of {} stages", stages_done_, stages_.size());
  if (stages_done_ < 0) {
    evaluate(0);
    stages_done_ = 0;
    checkpoint();
  }
  for (; stages_done_ < static_cast<std::int64_t>(stages_.size());) {
    const Stage& stage = stages_[static_cast<std::size_t>(stages_done_)];
    run_stage(stage);
    save_adapters(stage.tasks.back());
    ++stages_done_;
    checkpoint();
  }
  progress_->update("done", static_cast<std::int64_t>(tasks_.size()), units_done_, "");
}

void Session::end(RunStatus status, const std::string& error) { record_->end(status, error); }

}  // namespace mneme::run
