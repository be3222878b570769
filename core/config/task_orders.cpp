#include "core/config/task_orders.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/config/sweep.h"

namespace mneme::config {

namespace {
using Order = std::vector<std::size_t>;
constexpr std::int64_t kMostOrders = 5040;

Order first_order(std::size_t size) {
  Order order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

// size!, or a number beyond kMostOrders
std::int64_t factorial(std::size_t size) {
  std::int64_t product = 1;
  for (std::size_t i = 2; i <= size && product <= kMostOrders; ++i) product *= static_cast<std::int64_t>(i);
  return product;
}

std::vector<Order> permutations(const Node& count, std::size_t size, RandomStream& random) {
  std::vector<Order> orders;
  const std::int64_t most = factorial(size);
  if (count.is_null()) {
    if (most > kMostOrders)
      throw ConfigError(fmt::format(
          "permutations(): {} items have more than {} orders; say how many: permutations(n=6)", size, kMostOrders));
    Order order = first_order(size);
    do {
      orders.push_back(order);
    } while (std::next_permutation(order.begin(), order.end()));
    return orders;
  }
  const std::int64_t wanted = count.as_int();
  if (wanted < 1 || wanted > kMostOrders || wanted > most)
    throw ConfigError(fmt::format("permutations(): {} orders are asked for; {} items allow 1 to {}", wanted, size,
                                  std::min(most, kMostOrders)));
  std::set<Order> seen;
  while (orders.size() < static_cast<std::size_t>(wanted)) {
    Order order = first_order(size);
    random.shuffle(order);
    if (seen.insert(order).second) orders.push_back(std::move(order));
  }
  return orders;
}

// Row 0 is 0, 1, n-1, 2, n-2, …: its neighbours differ by every amount once, so that adding a constant to it gives all
// pairs of neighbours once if n is even.
std::vector<Order> latin_square(std::size_t size, RandomStream& random) {
  Order zigzag;
  for (std::size_t i = 0; i < size; ++i) zigzag.push_back(i % 2 == 1 ? (i + 1) / 2 : (size - i / 2) % size);
  Order names = first_order(size), rows = first_order(size);
  random.shuffle(names);
  random.shuffle(rows);
  std::vector<Order> orders;
  for (const std::size_t row : rows) {
    Order order;
    for (const std::size_t step : zigzag) order.push_back(names[(step + row) % size]);
    orders.push_back(std::move(order));
  }
  return orders;
}
}  // namespace

std::vector<Element> task_orders(const Sweep& sweep, const Node& list) {
  const std::string& name = sweep.tags.at(0);
  if (!list.is_list() || list.size() == 0)
    throw ConfigError(fmt::format("{}() permutes the list that the key holds, but it holds {} {}{}", name,
                                  kind_name(list.kind()), describe(list),
                                  list.is_list() ? "; write the list out, then sweep its orders" : ""));
  RandomStream random(static_cast<std::uint64_t>(sweep.step.as_int()), name);
  const std::vector<Order> orders =
      name == "permutations" ? permutations(sweep.start, list.size(), random) : latin_square(list.size(), random);
  std::vector<Element> values;
  for (const Order& order : orders) {
    Element value;
    value.shape = Element::Shape::kList;
    for (const std::size_t i : order) value.items.push_back(to_element(list.items()[i]));
    values.push_back(std::move(value));
  }
  return values;
}

}  // namespace mneme::config
