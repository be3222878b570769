#include "core/adapter/state.h"

#include <ATen/ATen.h>

#include <bit>
#include <charconv>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/model/safetensors.h"

namespace mneme {

StateVisitor::~StateVisitor() = default;

std::string StateVisitor::path(const std::string& name) const {
  std::string full;
  for (const auto& scope : scopes_) full += scope + "/";
  return full + name;
}

void StateVisitor::flag(const std::string& name, bool& value) {
  std::int64_t number = value ? 1 : 0;
  integer(name, number);
  value = number != 0;
}

void StateVisitor::random(const std::string& name, RandomStream& stream) {
  RandomStream::State state = stream.state();
  for (std::size_t i = 0; i < state.size(); ++i) {
    auto word = std::bit_cast<std::int64_t>(state[i]);
    integer(fmt::format("{}/{}", name, i), word);
    state[i] = std::bit_cast<std::uint64_t>(word);
  }
  stream.set_state(state);
}

void StateVisitor::integers(const std::string& name, std::vector<std::int64_t>& values) {
  at::Tensor packed = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), packed.data_ptr<std::int64_t>());
  tensor(name, packed);
  const auto* data = packed.data_ptr<std::int64_t>();
  values.assign(data, data + packed.numel());
}

void StateVisitor::integers(const std::string& name, std::map<std::int64_t, std::int64_t>& values) {
  std::vector<std::int64_t> keys, mapped;
  for (const auto& [key, value] : values) keys.push_back(key), mapped.push_back(value);
  integers(name + "/keys", keys);
  integers(name + "/values", mapped);
  values.clear();
  for (std::size_t i = 0; i < keys.size(); ++i) values[keys[i]] = mapped[i];
}

void StateVisitor::texts(const std::string& name, std::vector<std::string>& values) {
  auto count = static_cast<std::int64_t>(values.size());
  integer(name + "/count", count);
  values.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) text(fmt::format("{}/{}", name, i), values[i]);
}

void StateVisitor::tensors(const std::string& name, std::map<std::string, at::Tensor>& values) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : values) keys.push_back(key);
  texts(name + "/keys", keys);
  if (loading()) values.clear();
  for (const auto& key : keys) tensor(name + "/" + key, values[key]);
}

void StateVisitor::tensors(const std::string& name, std::vector<at::Tensor>& values) {
  auto count = static_cast<std::int64_t>(values.size());
  integer(name + "/count", count);
  values.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) tensor(fmt::format("{}/{}", name, i), values[i]);
}

// ---- saving

struct StateSaver::Data {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::map<std::string, std::string> scalars;

  void add(const std::string& path, std::string value) {
    MNEME_CHECK(scalars.emplace(path, std::move(value)).second, "the state has two parts named '{}'", path);
  }
};

StateSaver::StateSaver() : data_(std::make_unique<Data>()) {}
StateSaver::~StateSaver() = default;

void StateSaver::on_tensor(const std::string& path, at::Tensor& value) {
  data_->add(path, value.defined() ? "tensor" : "none");
  if (value.defined()) data_->tensors.emplace_back(path, value.detach().to(at::kCPU).contiguous().clone());
}
void StateSaver::on_integer(const std::string& path, std::int64_t& value) { data_->add(path, std::to_string(value)); }
void StateSaver::on_real(const std::string& path, double& value) { data_->add(path, fmt::format("{:a}", value)); }
void StateSaver::on_text(const std::string& path, std::string& value) { data_->add(path, "=" + value); }
void StateSaver::write(const std::filesystem::path& file) const {
  model::write_safetensors(file, data_->tensors, data_->scalars);
}

// ---- loading

struct StateLoader::Data {
  std::filesystem::path file;
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, std::string> scalars;

  const std::string& scalar(const std::string& path) const {
    const auto it = scalars.find(path);
    if (it == scalars.end())
      throw Error(fmt::format("{}: has no state '{}'; it was saved by another version of the program or the strategy",
                              file.string(), path));
    return it->second;
  }
  [[noreturn]] void refuse(const std::string& path, const char* expected) const {
    throw Error(
        fmt::format("{}: state '{}' is '{}'; expected {}. It was saved by another version of the program or the "
                    "strategy",
                    file.string(), path, scalars.at(path), expected));
  }
};

StateLoader::StateLoader(const std::filesystem::path& file) : data_(std::make_unique<Data>()) {
  data_->file = file;
  data_->tensors = model::read_safetensors(file);
  data_->scalars = model::read_safetensors_metadata(file);
}
StateLoader::~StateLoader() = default;

void StateLoader::on_tensor(const std::string& path, at::Tensor& value) {
  const std::string& kind = data_->scalar(path);
  const auto it = data_->tensors.find(path);
  if (kind != "none" && (kind != "tensor" || it == data_->tensors.end())) data_->refuse(path, "a tensor");
  value = kind == "none" ? at::Tensor() : it->second.clone();
}
void StateLoader::on_integer(const std::string& path, std::int64_t& value) {
  const std::string& text = data_->scalar(path);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) data_->refuse(path, "a whole number");
}
void StateLoader::on_real(const std::string& path, double& value) {
  const std::string& text = data_->scalar(path);
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0) data_->refuse(path, "a number");
}
void StateLoader::on_text(const std::string& path, std::string& value) {
  const std::string& text = data_->scalar(path);
  if (!text.starts_with('=')) data_->refuse(path, "a text");
  value = text.substr(1);
}

// ---- size and hash

void StateSizer::on_tensor(const std::string&, at::Tensor& value) {
  if (value.defined()) bytes_ += static_cast<std::int64_t>(value.nbytes());
}

std::string tensor_digest(const at::Tensor& value) {
  Sha256 hash;
  const at::Tensor whole = value.detach().to(at::kCPU).contiguous();
  hash.update(fmt::format("{}", static_cast<int>(whole.scalar_type())));
  for (const std::int64_t size : whole.sizes()) hash.update(fmt::format(",{}", size));
  hash.update(whole.data_ptr(), whole.nbytes());
  return hash.hex();
}

struct StateHasher::Data {
  Sha256 hash;
};
StateHasher::StateHasher() : data_(std::make_unique<Data>()) {}
StateHasher::~StateHasher() = default;
std::string StateHasher::hex() { return data_->hash.hex(); }
void StateHasher::on_tensor(const std::string& path, at::Tensor& value) {
  data_->hash.update(path + ":" + (value.defined() ? tensor_digest(value) : "none") + ";");
}
void StateHasher::on_integer(const std::string& path, std::int64_t& value) {
  data_->hash.update(fmt::format("{}:{};", path, value));
}
void StateHasher::on_real(const std::string& path, double& value) {
  data_->hash.update(fmt::format("{}:{:a};", path, value));
}
void StateHasher::on_text(const std::string& path, std::string& value) {
  data_->hash.update(fmt::format("{}:{}:{};", path, value.size(), value));
}

}  // namespace mneme
