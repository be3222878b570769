// The estimate of memory against what processes of their own take.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "core/model/memory_estimate.h"
#include "core/model/transformer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::model;

namespace {

constexpr std::int64_t kBatch = 12, kPrompt = 150, kAnswer = 30, kRank = 8;

TransformerConfig shape(bool encoder_decoder) {
  TransformerConfig c;
  c.vocab_size = 8000;
  c.hidden_size = 256;
  c.intermediate_size = 704;
  c.num_hidden_layers = 6;
  c.num_attention_heads = c.num_key_value_heads = 4;
  c.head_dim = 64;
  if (!encoder_decoder) return c;
  c.model_type = "t5";
  c.num_decoder_layers = 6;
  c.hidden_act = "gelu_tanh";
  return c;
}

void write_rows(const std::filesystem::path& file) {
  std::ofstream out(file);
  const auto ids = [&](const char* name, std::int64_t count) {
    out << '"' << name << "\": [";
    for (std::int64_t i = 0; i < count; ++i) out << (i == 0 ? "" : ",") << 3 + i % 1000;
    out << ']';
  };
  for (std::int64_t row = 0; row < kBatch; ++row) {
    out << '{';
    ids("prompt_ids", kPrompt);
    out << ", ";
    ids("answer_ids", kAnswer);
    out << "}\n";
  }
}

/// Runs a program to its end. \return the most bytes that it held at once
double peak_of(const std::vector<std::string>& command) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    if (std::freopen("/dev/null", "w", stdout) != nullptr) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  REQUIRE(::wait4(child, &status, 0, &usage) == child);
  REQUIRE(status == 0);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

TrainingCase training_case(const TransformerConfig& config, c10::ScalarType dtype) {
  TrainingCase step{.dtype = dtype, .labels = kBatch * kAnswer};
  step.rows = kBatch * (config.encoder_decoder() ? kAnswer : kPrompt + kAnswer);
  step.source_rows = config.encoder_decoder() ? kBatch * kPrompt : 0;
  const auto linears = linears_of(config);
  for (std::size_t i = 0; i < linears.size(); ++i) {
    step.adapted.push_back(static_cast<std::int64_t>(i));
    step.trained += kRank * (linears[i].in + linears[i].out);
  }
  return step;
}

}  // namespace

TEST_CASE("training takes the memory that is estimated", "[memory]") {
#ifdef __SANITIZE_ADDRESS__
  WARN("skipped: sanitizers take memory of their own");
  return;
#endif
  const test::TemporaryDirectory directory;
  write_rows(directory / "rows.jsonl");
  for (const bool encoder_decoder : {false, true}) {
    RandomStream rng(1, "model");
    const TransformerConfig config = shape(encoder_decoder);
    Transformer::random(config, c10::ScalarType::Float, rng)->save(directory / "model", c10::ScalarType::BFloat16);
    for (const auto& [dtype, recompute] : {std::pair(c10::ScalarType::Float, false),
                                           {c10::ScalarType::BFloat16, false},
                                           {c10::ScalarType::Float, true}}) {
      const std::string name = dtype == c10::ScalarType::Float ? "fp32" : "bf16";
      TrainingCase step = training_case(config, dtype);
      step.recompute = recompute;
      const double estimate = estimate_memory(config, step).total();
      std::vector<std::string> command = {fmt::format("{}/bin/mneme-run", MNEME_BINARY_DIR),
                                          "model",
                                          "probe",
                                          (directory / "model").string(),
                                          "--dtype",
                                          name,
                                          "--data",
                                          (directory / "rows.jsonl").string(),
                                          "--steps",
                                          "2",
                                          "--targets",
                                          "all-linear",
                                          "--rank",
                                          std::to_string(kRank),
                                          "--out",
                                          (directory / "out").string()};
      if (recompute) command.push_back("--recompute");
      const double measured = peak_of(command);
      INFO(config.model_type << " " << name << (recompute ? " computed again" : "") << ": estimated "
                             << bytes_text(estimate) << ", measured " << bytes_text(measured));
      CHECK(estimate / measured > 0.85);
      CHECK(estimate / measured < 1.15);
    }
  }
}
