#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;
using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {
test::Outcome run_model(const std::string& arguments, bool errors = true) {
  return test::run_program("mneme", "model " + arguments, errors);
}

Json result(const std::string& arguments) {
  const test::Outcome outcome = run_model(arguments, false);
  INFO(arguments << ": " << outcome.output);
  REQUIRE(outcome.code == 0);
  return Json::parse(outcome.output);
}
}  // namespace

TEST_CASE("mneme model: logits, generate and score agree with each other", "[command]") {
  const Json generated = result("generate nano --ids 256,49,43,49,61 --max-new-tokens 3");
  const Json logits = result("logits nano --ids 256,49,43,49,61");  // "1+1="
  REQUIRE(logits.size() == 5);
  REQUIRE(logits[4].size() == 259);
  const auto row = logits[4].get<std::vector<double>>();
  const auto likeliest = std::max_element(row.begin(), row.end()) - row.begin();
  CHECK(generated["ids"][0] == likeliest);
  CHECK(generated["text"] == "2");

  const Json scored = result("score nano --ids 256,49,43,49,61 --answers '2|3'");
  REQUIRE(scored.size() == 2);
  CHECK(scored[0]["ids"] == Json{50, 257});
  const Json longer = result("logits nano --ids 256,49,43,49,61,50");
  double expected = 0;
  for (const auto& [at, id] : {std::pair(4, 50), {5, 257}}) {
    const auto values = longer[static_cast<std::size_t>(at)].get<std::vector<double>>();
    double sum = 0;
    for (const double value : values) sum += std::exp(value);
    expected += values[static_cast<std::size_t>(id)] - std::log(sum);
  }
  CHECK(scored[0]["log_probability"].get<double>() == Approx(expected).margin(1e-4));
  CHECK(scored[1]["log_probability"].get<double>() < expected);
}

TEST_CASE("mneme model generate stops at each of the model's end tokens", "[command]") {
  const Json free = result("generate nano --ids 256,97,98,99 --max-new-tokens 8");
  REQUIRE(free["ids"].size() > 2);
  const test::TemporaryDirectory directory;
  fs::copy(fs::path(MNEME_SOURCE_DIR) / "models" / "nano", directory / "model", fs::copy_options::recursive);
  const Json ends = {{"eos_token_id", {257, free["ids"][1]}}};
  write_file_atomically(directory / "model" / "generation_config.json", ends.dump());
  const std::string model = (directory / "model").string();
  const Json stopped = result("generate " + model + " --ids 256,97,98,99 --max-new-tokens 8");
  const auto ids = free["ids"].get<std::vector<int>>();
  const auto end = std::find(ids.begin(), ids.end(), ids[1]);
  CHECK(stopped["ids"].get<std::vector<int>>() == std::vector<int>(ids.begin(), end + 1));
}

TEST_CASE("mneme model probe trains an adapter and leaves its first gradient", "[command]") {
  const test::TemporaryDirectory directory;
  write_file_atomically(
      directory / "rows.jsonl",
      "{\"prompt\": \"a b\", \"answer\": \"zz\"}\n{\"prompt_ids\": [256, 9], \"answer_ids\": [8, 7]}\n");
  const std::string out = (directory / "out").string();
  const Json probed = result(
      fmt::format("probe nano --data {} --steps 5 --lr 0.01 --out {}", (directory / "rows.jsonl").string(), out));
  REQUIRE(probed["losses"].size() == 5);
  CHECK(probed["losses"][4] < probed["losses"][0]);
  for (const char* part : {"gradients", "adapter"}) CHECK(fs::exists(fs::path(out) / part / "adapter_config.json"));
  // The adapter goes on from where it was.
  const Json again = result(fmt::format("probe nano --adapter {}/adapter --data {} --steps 1 --out {}/more", out,
                                        (directory / "rows.jsonl").string(), out));
  CHECK(again["losses"][0] < probed["losses"][4]);
  // A merged model is a directory of its own, with its tokenizer.
  const test::Outcome merged = run_model(fmt::format("merge nano {0}/adapter {0}/merged", out));
  INFO(merged.output);
  CHECK(merged.code == 0);
  CHECK(result(fmt::format("generate {}/merged --prompt a --max-new-tokens 1", out))["text"].is_string());
}

TEST_CASE("mneme model probe takes several targets, as show does", "[command]") {
  const test::TemporaryDirectory directory;
  write_file_atomically(directory / "rows.jsonl", "{\"prompt\": \"a b\", \"answer\": \"zz\"}\n");
  result(fmt::format("probe nano --targets q_proj,v_proj --rank 2 --data {} --steps 1 --out {}",
                     (directory / "rows.jsonl").string(), (directory / "out").string()));
  const Json config = Json::parse(read_file(directory / "out" / "adapter" / "adapter_config.json"));
  CHECK(config["r"] == 2);
  CHECK(config["target_modules"].get<std::set<std::string>>() == std::set<std::string>{"q_proj", "v_proj"});
}

TEST_CASE("mneme model says what is wrong", "[command]") {
  const auto refuse = [](const std::string& arguments, int code, const std::string& message) {
    const test::Outcome outcome = run_model(arguments);
    CHECK(outcome.code == code);
    CHECK_THAT(outcome.output, Contains(message));
  };
  refuse("logits nano --ids 1,999", 2, "--ids: '999' is no token id of a vocabulary of 259");
  refuse("logits nano --ids 1 --decoder-ids 0", 2, "this model has no decoder of its own");
  refuse("generate nano", 2, "give either --prompt TEXT or --ids 1,2,3");
  refuse("score nano --prompt x", 2, "give --answers");
  refuse("probe nano --data none.jsonl --steps 1 --out x", 1, "none.jsonl: cannot be read");
  refuse("paint nano", 2, "unknown action 'paint'");
  refuse("show", 2, "expected one directory");
  refuse("show nowhere", 1, "there is no config.json");
}
