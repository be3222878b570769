#include "core/config/defaults_entry.h"

#include <algorithm>

namespace mneme::config {

namespace {
constexpr std::string_view kGlobal = "_global_";

std::string dotted(std::string path) {
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

std::string joined(const std::string& a, const std::string& b, char separator) {
  if (a.empty()) return b;
  return b.empty() ? a : a + separator + b;
}
}  // namespace

DefaultsBuilder::Entry DefaultsBuilder::Entry::appended(const Override& override) {
  Entry entry;
  entry.is_group = true;
  entry.name = override.key;
  entry.package = override.package;
  if (entry.package == "_here_") entry.package = "";
  entry.position = override.position;
  entry.external = true;
  entry.has_options = override.value.shape == Element::Shape::kList;
  for (const Element& item : override.value.items) entry.options.push_back(item.scalar.as_string());
  if (!entry.has_options && override.value.scalar.is_string()) entry.option = override.value.scalar.as_string();
  return entry;
}

DefaultsBuilder::Entry DefaultsBuilder::Entry::single_option(const std::string& option_name) const {
  Entry entry;
  entry.name = name + "/" + option_name;
  entry.package = package;
  entry.optional = optional;
  entry.position = position;
  return entry;
}

void DefaultsBuilder::Entry::set_parent(const std::string& group, const std::string& parents_package) {
  parent_group = group;
  parent_package = parents_package;
  if (!package) return;
  constexpr std::string_view kGroup = "_group_";
  if (package->find(kGroup) == package->npos) return;
  std::string resolved = *package;
  const std::string own = dotted(group_path());
  for (auto at = resolved.find(kGroup); at != resolved.npos; at = resolved.find(kGroup, at + own.size()))
    resolved.replace(at, kGroup.size(), own);
  package = fmt::format("{}.{}", kGlobal, resolved);
}

// A header counts from the root.
void DefaultsBuilder::Entry::set_package_header(const std::optional<std::string>& header) {
  if (!header) return;
  if (*header == kGlobal || header->starts_with(std::string(kGlobal) + "."))
    package_header = *header;
  else
    package_header = header->empty() ? std::string(kGlobal) : fmt::format("{}.{}", kGlobal, *header);
}

std::string DefaultsBuilder::Entry::own_path() const { return name.starts_with('/') ? name.substr(1) : name; }

std::string DefaultsBuilder::Entry::own_group_path() const {
  const std::string path = own_path();
  if (is_group) return path;
  const auto slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, slash);
}

std::string DefaultsBuilder::Entry::group_path() const {
  return name.starts_with('/') ? own_group_path() : joined(parent_group, own_group_path(), '/');
}

std::string DefaultsBuilder::Entry::config_path() const {
  if (is_group) return fmt::format("{}/{}", group_path(), option.value_or("null"));
  return name.starts_with('/') || parent_group.empty() ? own_path() : parent_group + "/" + name;
}

bool DefaultsBuilder::Entry::is_missing() const {
  if (is_group) return !has_options && option == "???";
  const auto slash = name.rfind('/');
  return (slash == name.npos ? name : name.substr(slash + 1)) == "???";
}

bool DefaultsBuilder::Entry::is_interpolation() const {
  if (is_group) return !has_options && option && option->find("${") != option->npos;
  return name.find("${") != name.npos || parent_group.find("${") != parent_group.npos;
}

std::string DefaultsBuilder::Entry::final_package(bool with_header) const {
  std::optional<std::string> own = package;
  if (!own && with_header) own = package_header;
  if (!own) own = dotted(own_group_path());
  const std::string full = joined(parent_package, *own, '.');
  const auto global = full.rfind(kGlobal);
  if (global == full.npos) return full;
  const std::size_t behind = global + kGlobal.size() + 1;  // and the dot
  return behind < full.size() ? full.substr(behind) : "";
}

std::string DefaultsBuilder::Entry::override_key() const {
  const std::string group = group_path();
  const std::string final = final_package(false);
  if (dotted(group) == final) return group;
  return fmt::format("{}@{}", group, final.empty() ? std::string(kGlobal) : final);
}

Node DefaultsBuilder::Entry::described() const {
  if (!is_group) return Node::string(config_path());
  Node map = Node::map();
  Node value = option ? Node::string(*option) : Node::null();
  if (has_options) {
    value = Node::list();
    for (const std::string& one : options) value.push_back(Node::string(one));
  }
  map.set(override_key(), std::move(value));
  return map;
}

}  // namespace mneme::config
