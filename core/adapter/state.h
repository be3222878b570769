#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/random.h"

namespace mneme {

/// One walk over an object's state serves saving, loading, size accounting and hashing alike, so that they cannot
/// disagree. An object's visit_state() names each part once; names are unique within a scope.
class StateVisitor {
 public:
  virtual ~StateVisitor();

  /// True when the walk replaces the values: containers must then take the sizes that the visitor brings.
  virtual bool loading() const { return false; }

  void tensor(const std::string& name, at::Tensor& value) { on_tensor(path(name), value); }  ///< may be undefined
  void integer(const std::string& name, std::int64_t& value) { on_integer(path(name), value); }
  void real(const std::string& name, double& value) { on_real(path(name), value); }
  void text(const std::string& name, std::string& value) { on_text(path(name), value); }
  void flag(const std::string& name, bool& value);
  void random(const std::string& name, RandomStream& stream);
  void integers(const std::string& name, std::vector<std::int64_t>& values);
  void integers(const std::string& name, std::map<std::int64_t, std::int64_t>& values);
  void texts(const std::string& name, std::vector<std::string>& values);
  void tensors(const std::string& name, std::map<std::string, at::Tensor>& values);
  void tensors(const std::string& name, std::vector<at::Tensor>& values);

  /// Visits an object that has visit_state(StateVisitor&) under its own scope.
  template <class T>
  void object(const std::string& name, T& value) {
    scopes_.push_back(name);
    value.visit_state(*this);
    scopes_.pop_back();
  }

 protected:
  virtual void on_tensor(const std::string& path, at::Tensor& value) = 0;
  virtual void on_integer(const std::string& path, std::int64_t& value) = 0;
  virtual void on_real(const std::string& path, double& value) = 0;
  virtual void on_text(const std::string& path, std::string& value) = 0;

 private:
  std::string path(const std::string& name) const;
  std::vector<std::string> scopes_;
};

/// Collects the state and writes it as one safetensors file; numbers and texts go into its metadata, exactly.
class StateSaver final : public StateVisitor {
 public:
  StateSaver();
  ~StateSaver() override;
  /// Atomically replaces the file.
  void write(const std::filesystem::path& file) const;

 protected:
  void on_tensor(const std::string& path, at::Tensor& value) override;
  void on_integer(const std::string& path, std::int64_t& value) override;
  void on_real(const std::string& path, double& value) override;
  void on_text(const std::string& path, std::string& value) override;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

/// Restores what StateSaver wrote. A part that the file lacks, or has as something else, is an Error naming it.
class StateLoader final : public StateVisitor {
 public:
  explicit StateLoader(const std::filesystem::path& file);
  ~StateLoader() override;
  bool loading() const override { return true; }

 protected:
  void on_tensor(const std::string& path, at::Tensor& value) override;
  void on_integer(const std::string& path, std::int64_t& value) override;
  void on_real(const std::string& path, double& value) override;
  void on_text(const std::string& path, std::string& value) override;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

/// Counts the bytes of the state's tensors and texts; a number counts eight.
class StateSizer final : public StateVisitor {
 public:
  std::int64_t bytes() const { return bytes_; }

 protected:
  void on_tensor(const std::string& path, at::Tensor& value) override;
  void on_integer(const std::string&, std::int64_t&) override { bytes_ += 8; }
  void on_real(const std::string&, double&) override { bytes_ += 8; }
  void on_text(const std::string&, std::string& value) override { bytes_ += static_cast<std::int64_t>(value.size()); }

 private:
  std::int64_t bytes_ = 0;
};

/// SHA-256 over names and values: equal digests mean equal states.
class StateHasher final : public StateVisitor {
 public:
  StateHasher();
  ~StateHasher() override;
  std::string hex();

 protected:
  void on_tensor(const std::string& path, at::Tensor& value) override;
  void on_integer(const std::string& path, std::int64_t& value) override;
  void on_real(const std::string& path, double& value) override;
  void on_text(const std::string& path, std::string& value) override;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

/// SHA-256 of a tensor's type, shape and bytes.
std::string tensor_digest(const at::Tensor& value);

}  // namespace mneme
