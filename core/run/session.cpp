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
#include "core/run/memory.h"

namespace mneme::run {
namespace fs = std::filesystem;

namespace {
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

Stopped::~Stopped() = default;

Session::Session(fs::path directory, const config::Node& resolved, plugin::PluginRegistry& plugins, StopQuery stop)
    : directory_(std::move(directory)),
      stop_(std::move(stop)),
      resolved_(resolved),
      options_(read_options(resolved)),
      descriptor_(plugins.load(options_.strategy)) {
  stream_ = build_stream(options_);
  options_.train.epochs_per_task = epochs_per_task(options_.train, task_specs(stream_));
  tokenizer_ = text::load_tokenizer(model_directory(options_.model));
  tasks_ = task_infos(stream_);
  const data::SequenceForm form = sequence_form(*tokenizer_, options_.model);
  for (std::size_t i = 0; i < stream_.tasks.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i) + 1;
    train_.push_back(build_samples(stream_.tasks[i], data::Split::kTrain, index, form, options_));
    eval_.push_back(build_samples(stream_.tasks[i], data::Split::kEval, index, form, options_));
  }
  std::optional<StateLoader> state;
  if (fs::exists(state_file())) visit_progress(state.emplace(state_file()));
  record_ = record::RecordWriter::resume(directory_ / "run.h5", position_);
  const Dataset largest =
      largest_micro_batch(options_.train, train_, descriptor_.capabilities,
                          [](const SamplePtr& sample) { return static_cast<std::int64_t>(sample->tokens.size()); });
  strategy_ = plugin::create_strategy(descriptor_, strategy_params(descriptor_.parameters(), options_.strategy_node));
  auto model = build_model(options_.model);
  const bool recompute = settle_recompute(model->config(), largest);
  learner_.emplace(std::move(model), learner_options(recompute), *record_);
  trainer_.emplace(*learner_, *strategy_, options_.train, *record_);
  trainer_->rehearse(largest);
  options_.eval.task_id = (descriptor_.capabilities & kTaskIdAtTest) != 0;
  evaluator_.emplace(*learner_, *strategy_, stream_, *tokenizer_, options_.eval);
  strategy_->attach(*learner_);
  plan_stages();
  if (state) visit_state(*state);
}

Session::~Session() = default;

bool Session::settle_recompute(const model::TransformerConfig& config, const Dataset& largest) const {
  RunLoad load;
  for (const SamplePtr& sample : largest) load.largest.push_back({sample->first_label, sample->label_count()});
  for (const Dataset& samples : train_) {
    TaskLoad& task = load.tasks.emplace_back(TaskLoad{static_cast<double>(samples.size()), 0});
    for (const SamplePtr& sample : samples) {
      task.tokens += static_cast<double>(sample->tokens.size());
      load.longest_prompt = std::max(load.longest_prompt, sample->first_label);
    }
  }
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    load.questions += options_.eval.split == "eval" ? tasks_[i].eval_rows : tasks_[i].test_rows;
    load.longest_answer = std::max(load.longest_answer, stream_.tasks[i].spec().max_new_tokens);
  }
  const auto [step, bytes] = foresee_memory(options_, config, *strategy_, load, memory_limit());
  spdlog::info("the largest step has {} tokens; memory foreseen {}{}", step.rows + step.source_rows, memory_text(bytes),
               step.recompute ? "; activations are computed again" : "");
  return step.recompute;
}

LearnerOptions Session::learner_options(bool recompute) const {
  LearnerOptions learner{.seed = options_.seed,
                         .adapter = options_.adapter,
                         .pass_batch = options_.train.batch_size,
                         .decode_slots = options_.eval.decode_slots,
                         .cache = options_.cache,
                         .recompute = recompute,
                         .generation = options_.generation};
  if (!options_.eval.stop.empty())
    learner.generation.stop_when = [this](std::size_t, std::span<const std::int32_t> answer) {
      const std::string text = tokenizer_->decode(answer);
      return std::any_of(options_.eval.stop.begin(), options_.eval.stop.end(),
                         [&text](const std::string& stop) { return text.find(stop) != text.npos; });
    };
  return learner;
}

void Session::plan_stages() {
  stages_ = strategy_->plan(tasks_);
  MNEME_CHECK(!stages_.empty(), "strategy '{}' plans no stage at all", descriptor_.name);
  for (const Stage& stage : stages_) {
    for (const std::int64_t task : stage.tasks)
      MNEME_CHECK(task >= 1 && task <= static_cast<std::int64_t>(tasks_.size()),
                  "strategy '{}' plans task {} of a stream of {}", descriptor_.name, task, tasks_.size());
    MNEME_CHECK(!stage.tasks.empty(), "strategy '{}' plans a stage without tasks", descriptor_.name);
  }
  Work total = {0, prompts_in_row(0)};
  if (stages_done_ >= 0) done_ = total;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    total.samples += expected_samples(stages_[i]);
    total.prompts += prompts_in_row(stages_[i].tasks.back());
    if (static_cast<std::int64_t>(i) < stages_done_) done_ = total;
  }
  progress_.emplace(directory_ / "progress.json", static_cast<std::int64_t>(tasks_.size()), total, done_);
}

double Session::expected_samples(const Stage& stage) const {
  const auto rows = static_cast<std::int64_t>(view(stage).train.size());
  return static_cast<double>(options_.train.batch_size * trainer_->expected_steps(rows, stage.tasks.back()));
}

double Session::prompts_in_row(std::int64_t after) const {
  if (options_.eval.rows == "last" && after != 0 && after != stages_.back().tasks.back()) return 0;
  std::int64_t prompts = 0;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const bool seen = after == 0 || static_cast<std::int64_t>(i) < after;
    if (seen || options_.eval.rows != "lower")
      prompts += options_.eval.split == "eval" ? tasks_[i].eval_rows : tasks_[i].test_rows;
  }
  return static_cast<double>(prompts);
}

void Session::tell(ProgressMoment moment) {
  moment.done = done_;
  progress_->update(moment);
  if (stop_())
    throw Stopped(
        fmt::format("stopped in stage {} of {}; the run goes on from its last finished stage when it is resumed",
                    stages_done_ + 1, stages_.size()));
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
  const double before = done_.prompts, prompts = prompts_in_row(after);
  tell({.phase = "evaluate", .task = after});
  const auto row =
      evaluator_->evaluate(after, stages_.back().tasks.back(), *record_, [&](std::int64_t done, std::int64_t total) {
        done_.prompts = before + prompts * static_cast<double>(done) / static_cast<double>(total);
        tell({.phase = "evaluate", .task = after, .step = done, .steps = total});
      });
  done_.prompts = before + prompts;
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
  const Work base = done_;
  const double samples = expected_samples(stage);
  tell({.phase = "train", .task = task.task()});
  const TrainCost trained = trainer_->train(task, [&](const TrainProgress& p) {
    done_.samples = std::min(done_.samples + static_cast<double>(options_.train.batch_size), base.samples + samples);
    tell({.phase = "train",
          .task = task.task(),
          .step = p.steps_done,
          .steps = p.steps_total,
          .note = fmt::format("loss {:.3f}", p.loss)});
  });
  done_.samples = base.samples + samples;  // also where a strategy ended early
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
  progress_->finish();
}

void Session::release() {
  evaluator_.reset();
  trainer_.reset();
  strategy_.reset();
  learner_.reset();
  train_.clear();
  eval_.clear();
}

void Session::end(RunStatus status, const std::string& error) { record_->end(status, error); }

}  // namespace mneme::run
