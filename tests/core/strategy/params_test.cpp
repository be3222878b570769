#include "core/strategy/params.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

using namespace mneme;
using Catch::Contains;

namespace {

ParamSpecs all_types() {
  return {{"flag", ParamType::kBool, "true", "", "a flag"},
          {"count", ParamType::kInt, "3", ">= 1", "an integer"},
          {"rate", ParamType::kReal, "1e-4", "(0, 1]", "a real"},
          {"name", ParamType::kText, "'a b'", "", "a text"},
          {"mode", ParamType::kChoice, "fast", "fast|exact", "a choice"},
          {"ints", ParamType::kIntList, "[1, -2]", "", "integers"},
          {"reals", ParamType::kRealList, "[0.5]", "[0, 1)", "reals"},
          {"texts", ParamType::kTextList, "[q_proj, 'v']", "", "texts"},
          {"limit", ParamType::kInt, "null", "> 0", "nullable", true}};
}

std::string message_of(const std::map<std::string, ParamValue>& changes) {
  try {
    Params::defaults(all_types(), changes);
  } catch (const Error& e) {
    return e.message();
  }
  return "";
}

}  // namespace

TEST_CASE("defaults are read in the types of the schema", "[params]") {
  const Params p = Params::defaults(all_types());
  CHECK(p.flag("flag"));
  CHECK(p.integer("count") == 3);
  CHECK(p.real("rate") == 1e-4);
  CHECK(p.text("name") == "a b");
  CHECK(p.choice("mode") == "fast");
  CHECK(p.integers("ints") == std::vector<std::int64_t>{1, -2});
  CHECK(p.reals("reals") == std::vector<double>{0.5});
  CHECK(p.texts("texts") == std::vector<std::string>{"q_proj", "v"});
  CHECK(p.is_null("limit"));
  CHECK(p.unread().empty());
}

TEST_CASE("what nothing has read is known", "[params]") {
  const Params p = Params::defaults(all_types(), {{"limit", std::int64_t{5}}});
  CHECK(p.unread().size() == 9);
  p.real("rate");
  CHECK_FALSE(p.is_null("limit"));  // asking is not reading, as long as there is a value to read
  const auto unread = p.unread();
  CHECK(unread.size() == 8);
  CHECK(std::find(unread.begin(), unread.end(), "rate") == unread.end());
  CHECK(std::find(unread.begin(), unread.end(), "limit") != unread.end());
  CHECK(p.integer("limit") == 5);
  CHECK(p.unread().size() == 7);
}

TEST_CASE("wrong reads are errors", "[params]") {
  const Params p = Params::defaults(all_types());
  CHECK_THROWS_WITH(p.real("rat"), Contains("'rat' is not declared") && Contains("did you mean 'rate'"));
  CHECK_THROWS_WITH(p.integer("rate"), Contains("declared as a real but read as a integer"));
  CHECK_THROWS_WITH(p.text("mode"), Contains("declared as a choice but read as a text"));
  CHECK_THROWS_WITH(p.integer("limit"), Contains("'limit' is null"));
}

TEST_CASE("values are held to type and range, ends included where the range says so", "[params]") {
  CHECK(message_of({{"rate", 1.0}}).empty());
  CHECK_THAT(message_of({{"rate", 0.0}}), Contains("'rate' is 0; expected (0, 1]"));
  CHECK_THAT(message_of({{"rate", 1.5}}), Contains("expected (0, 1]"));
  CHECK(message_of({{"count", std::int64_t{1}}}).empty());
  CHECK_THAT(message_of({{"count", std::int64_t{0}}}), Contains("'count' is 0; expected >= 1"));
  CHECK(message_of({{"reals", std::vector<double>{0.0, 0.99}}}).empty());
  CHECK_THAT(message_of({{"reals", std::vector<double>{0.5, 1.0}}}), Contains("'reals' is 1; expected [0, 1)"));
  CHECK_THAT(message_of({{"rate", std::nan("")}}), Contains("'rate' is nan"));
  CHECK_THAT(message_of({{"mode", std::string("fats")}}), Contains("expected one of fast, exact; did you mean 'fast'"));
  CHECK_THAT(message_of({{"count", 2.0}}), Contains("another type; expected a integer"));
  CHECK_THAT(message_of({{"count", std::monostate()}}), Contains("'count' is null"));
  CHECK(message_of({{"limit", std::monostate()}}).empty());
  CHECK_THAT(message_of({{"coutn", std::int64_t{1}}}), Contains("not declared; did you mean 'count'"));
}

TEST_CASE("wrong schemas are errors", "[params]") {
  CHECK_THROWS_WITH(default_value({"a", ParamType::kReal, "???", "", ""}), Contains("'a' has no default"));
  CHECK_THROWS_WITH(default_value({"a", ParamType::kInt, "1.5", "", ""}),
                    Contains("default '1.5'; expected a integer"));
  CHECK_THROWS_WITH(default_value({"a", ParamType::kIntList, "1, 2", "", ""}), Contains("expected a list"));
  CHECK_THROWS_WITH(default_value({"a", ParamType::kIntList, "[1, x]", "", ""}), Contains("'x'"));
  CHECK_THROWS_WITH(Params::defaults({{"a", ParamType::kReal, "1", "about 1", ""}}), Contains("range 'about 1'"));
  CHECK_THROWS_WITH(Params({{"a", ParamType::kReal, "1", "", ""}}, {}), Contains("'a' has no value"));
}

TEST_CASE("lists may be empty", "[params]") {
  CHECK(Params::defaults({{"a", ParamType::kTextList, "[]", "", ""}}).texts("a").empty());
}
