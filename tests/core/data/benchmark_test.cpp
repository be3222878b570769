// The stream definitions in benchmarks/, and the real rows where they are: MNEME_TEST_DATA names their directory.
#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/file.h"
#include "core/base/unicode.h"
#include "core/config/compose.h"
#include "core/data/stream_config.h"
#include "core/data/tokenize.h"
#include "core/metric/text_metric.h"
#include "core/text/byte_tokenizer.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::data;
namespace fs = std::filesystem;

namespace {
/// The options of benchmarks/<suite>/<stream>.yaml on the data below root, composed as the programs do.
StreamOptions benchmark(const std::string& suite, const std::string& stream, const fs::path& root) {
  const fs::path source = MNEME_SOURCE_DIR;
  config::Request request;
  request.file = source / "experiments/conf/data.yaml";
  request.overrides = {"stream=" + stream, fmt::format("data.root='{}'", root.string())};
  request.search_path = {{source / "experiments/conf", ""}, {source / "benchmarks" / suite, "stream"}};
  const config::Node resolved = config::resolve(config::compose(request));
  CHECK(resolved.at("stream").at("name").as_string() == stream);
  return stream_options(resolved.at("stream"));
}

/// Every stream of the file-based suites with its number of tasks.
struct Known {
  const char* suite;
  const char* stream;
  std::size_t tasks;
};
constexpr Known kStreams[] = {
    {"trace8", "ilora8", 8},        {"trace8", "trace8", 7},        {"trace8", "trace8_2", 7},
    {"long15", "long15_a", 15},     {"long15", "long15_b", 15},     {"long15", "long15_c", 15},
    {"long15", "standard4_1", 4},   {"long15", "standard4_2", 4},   {"long15", "standard4_3", 4},
    {"superni", "superni15_1", 15}, {"superni", "superni15_2", 15}, {"sgd", "sgd15", 15},
};

/// The directory of the real rows, or nothing (and then a line that says so).
std::optional<fs::path> real_data() {
  const char* given = std::getenv("MNEME_TEST_DATA");
  if (given != nullptr && fs::is_regular_file(fs::path(given) / "MANIFEST.json")) return given;
  WARN("skipped: set MNEME_TEST_DATA to the directory of the real benchmark rows (with MANIFEST.json)");
  return std::nullopt;
}
}  // namespace

TEST_CASE("every stream definition is whole", "[benchmarks]") {
  std::set<std::string> files;
  for (const Known& known : kStreams) {
    INFO(known.stream);
    const StreamOptions o = benchmark(known.suite, known.stream, "/data");
    CHECK(o.order.size() == known.tasks);
    CHECK(o.directory == known.suite);
    CHECK(missing_files(o).size() == 3 * known.tasks);
    CHECK(fs::is_regular_file(fs::path(MNEME_SOURCE_DIR) / "benchmarks" / known.suite / "README.md"));
    files.insert(fmt::format("{}/{}.yaml", known.suite, known.stream));
  }
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(MNEME_SOURCE_DIR) / "benchmarks")) {
    const std::string suite = entry.path().parent_path().filename().string(), file = entry.path().filename().string();
    if (entry.path().extension() != ".yaml" || file.starts_with("_") || suite == "mini8") continue;
    INFO(suite << "/" << file);
    CHECK(files.contains(suite + "/" + file));
  }
}

TEST_CASE("the orders are permutations of one set of tasks", "[benchmarks]") {
  const auto tasks = [](const char* suite, const char* stream) {
    const auto order = benchmark(suite, stream, "/data").order;
    return std::set<std::string>(order.begin(), order.end());
  };
  CHECK(tasks("long15", "long15_a") == tasks("long15", "long15_b"));
  CHECK(tasks("long15", "long15_a") == tasks("long15", "long15_c"));
  CHECK(tasks("long15", "standard4_1") == std::set<std::string>{"dbpedia", "amazon", "yahoo", "agnews"});
  CHECK(tasks("long15", "standard4_1") == tasks("long15", "standard4_2"));
  CHECK(tasks("long15", "standard4_1") == tasks("long15", "standard4_3"));
  CHECK(tasks("superni", "superni15_1") == tasks("superni", "superni15_2"));
  CHECK(tasks("trace8", "trace8") == tasks("trace8", "trace8_2"));
  const auto ilora = benchmark("trace8", "ilora8", "/data").order;
  CHECK(ilora == std::vector<std::string>{"C-STANCE", "FOMC", "MeetingBank", "ScienceQA", "NumGLUE-cm", "20Minuten",
                                          "medmcqa", "jecqa"});
}

TEST_CASE("every real row loads, with the counts and hashes of the manifest", "[benchmarks][real]") {
  const auto root = real_data();
  if (!root) return;
  const auto manifest = nlohmann::json::parse(read_file(*root / "MANIFEST.json"));
  std::set<std::string> seen;
  for (const Known& known : kStreams) {
    const StreamOptions o = benchmark(known.suite, known.stream, *root);
    const Stream stream = load_stream(o);
    for (const Task& task : stream.tasks) {
      for (const Split split : kSplits) {
        const fs::path file = task_directory(o, task.spec()) / fmt::format("{}.json", to_string(split));
        const std::string name = fs::relative(file, *root).string();
        if (!seen.insert(name).second) continue;
        INFO(name);
        REQUIRE(manifest.contains(name));
        CHECK(task.split(split).size() == manifest[name]["n"].get<std::size_t>());
        CHECK(task.sha256(split) == manifest[name]["sha256"].get<std::string>());
      }
    }
  }
  for (const auto& [name, entry] : manifest.items()) {
    INFO(name);
    const std::string file = fs::path(name).filename().string();
    if (file == "train.json" || file == "eval.json" || file == "test.json") CHECK(seen.contains(name));
  }
}

TEST_CASE("the references score 1 in every metric of every real task", "[benchmarks][real]") {
  const auto root = real_data();
  if (!root) return;
  for (const Known& known : kStreams) {
    if (std::string(known.stream) == "long15_b" || std::string(known.stream) == "long15_c") continue;
    for (const Task& task : load_stream(benchmark(known.suite, known.stream, *root)).tasks) {
      std::vector<metric::Sample> samples;
      for (const Example& row : task.split(Split::kTest)) {
        if (samples.size() < 40) samples.push_back({row.answer, row.references, row.source, row.group});
      }
      std::vector<std::string> ids = task.spec().more_metrics;
      ids.push_back(task.spec().metric);
      for (const std::string& id : ids) {
        INFO(known.stream << ", " << task.name() << ", " << id);
        // An answer of fewer than four words has no 4-grams; SARI counts a repeated n-gram that the source repeats more
        // often as wrongly deleted.
        const double expected = id == "bleu4" ? .9 : id == "sari" ? .99 : 1;
        CHECK(metric::text_metric(id).score(samples).value >= expected - 1e-7);
      }
    }
  }
}

TEST_CASE("no real row loses its instruction or cue to a length limit", "[benchmarks][real]") {
  const auto root = real_data();
  if (!root) return;
  const text::ByteTokenizer tokenizer;
  LengthLimits limits;
  limits.max_answer = 128;
  for (const Known& known : kStreams) {
    if (known.tasks == 4 || std::string(known.stream) == "long15_b" || std::string(known.stream) == "long15_c")
      continue;
    limits.max_total = known.suite == std::string("superni") ? 2048 : 1024;  // its definitions have up to 958 bytes
    for (const Task& task : load_stream(benchmark(known.suite, known.stream, *root)).tasks) {
      for (const Example& row : task.split(Split::kTest)) {
        INFO(known.stream << ", " << task.name() << ", " << row.row_id);
        const auto t = tokenize(tokenizer, task.spec(), row, limits);
        REQUIRE(static_cast<std::int64_t>(t.prompt.size() + t.answer.size()) + 2 <= limits.max_total);
        if (t.cut_tokens == 0) continue;
        const std::string prompt = tokenizer.decode(t.prompt);
        REQUIRE_FALSE(find_invalid_utf8(prompt).has_value());
        REQUIRE(prompt.substr(0, 4) == row.prompt.substr(0, 4));
        REQUIRE(prompt.find(task.spec().instruction) != std::string::npos);
        REQUIRE(prompt.ends_with(row.prompt.substr(row.prompt.rfind(task.spec().cue))));
      }
    }
  }
}
