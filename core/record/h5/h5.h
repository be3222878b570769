#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/record/array.h"

/// A thin owner of HDF5's identifiers. Every failure is a RecordError that names the file, the path in it and HDF5's
/// own reason; nothing of HDF5's error printing reaches the terminal.
namespace mneme::record::h5 {

/// Owns one HDF5 identifier of any kind: file, group, data set, type, space, attribute, property list.
class Id {
 public:
  Id() = default;
  explicit Id(hid_t id) : id_(id) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Id();
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

enum class ColumnType { kInt, kReal, kText };

/// One member of a compound table: int64, float64 or variable-length UTF-8.
struct Column {
  const char* name;
  ColumnType type;
};

/// One value of a row; the column says which member is alive. Rows lie in memory as these eight-byte cells, so that one
/// compound type describes any table.
union Cell {
  std::int64_t integer;
  double real;
  const char* text;
};
static_assert(sizeof(Cell) == 8);

/// Rows read from a table. Owns its texts.
class Rows {
 public:
  Rows(std::vector<Cell> cells, std::vector<std::string> texts, std::size_t columns)
      : cells_(std::move(cells)), texts_(std::move(texts)), columns_(columns) {}
  std::size_t size() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
  std::int64_t integer(std::size_t row, std::size_t column) const { return cells_[row * columns_ + column].integer; }
  double real(std::size_t row, std::size_t column) const { return cells_[row * columns_ + column].real; }
  /// The text of a kText column.
  const std::string& text(std::size_t row, std::size_t column) const {
    return texts_[static_cast<std::size_t>(cells_[row * columns_ + column].integer)];
  }

 private:
  std::vector<Cell> cells_;  ///< a text's cell holds its index in texts_
  std::vector<std::string> texts_;
  std::size_t columns_;
};

/// One HDF5 file, held in memory. Paths are absolute ("/train/steps"); groups on the way are created.
class File {
 public:
  /// A new empty file in memory; `name` appears in messages only.
  static File create_in_memory(const std::filesystem::path& name);
  /// The file that these bytes are; what is written stays in memory. `name` appears in messages only.
  static File from_image(const std::filesystem::path& name, std::string bytes);

  /// The whole file as it would lie on disk.
  std::string image() const;

  bool exists(const std::string& path) const;
  /// Names of the links in a group, sorted; empty where the group does not exist.
  std::vector<std::string> list(const std::string& group) const;
  /// Paths of all data sets below a group, relative to it, sorted.
  std::vector<std::string> list_datasets(const std::string& group) const;
  void remove(const std::string& path);

  void create_group(const std::string& path);
  void set_attribute(const std::string& object, const std::string& name, std::string_view text);
  void set_attribute(const std::string& object, const std::string& name, std::int64_t value);
  bool has_attribute(const std::string& object, const std::string& name) const;
  std::vector<std::string> attributes(const std::string& object) const;
  /// The attribute, a single value, as text; integers in decimal. Fixed-length and variable-length strings are both
  /// read.
  std::string attribute_text(const std::string& object, const std::string& name) const;
  std::int64_t attribute_integer(const std::string& object, const std::string& name) const;

  /// A scalar variable-length UTF-8 string; replaces one that is there.
  void write_text(const std::string& path, std::string_view text);
  std::string read_text(const std::string& path) const;

  /// float64; replaces one of the same path. Unwritten elements read as NaN.
  void write_array(const std::string& path, const std::vector<std::int64_t>& shape, std::span<const double> values);
  Array read_array(const std::string& path) const;

  /// An empty appendable table of compound rows in chunks of `chunk_rows`.
  void create_table(const std::string& path, std::span<const Column> columns, std::int64_t chunk_rows);
  /// Appends cells.size() / columns.size() rows.
  void append_rows(const std::string& path, std::span<const Column> columns, std::span<const Cell> cells);
  /// Cuts a table to its first `rows` rows.
  void truncate_table(const std::string& path, std::int64_t rows);
  std::int64_t row_count(const std::string& path) const;
  /// Rows [first, first + count) of the given columns, matched by name; further columns of the file are ignored.
  Rows read_rows(const std::string& path, std::span<const Column> columns, std::int64_t first,
                 std::int64_t count) const;
  /// The whole table.
  Rows read_rows(const std::string& path, std::span<const Column> columns) const;

 private:
  File(std::filesystem::path path, Id file) : path_(std::move(path)), file_(std::move(file)) {}
  Id open_object(const std::string& path) const;
  Id open_dataset(const std::string& path) const;
  Id open_attribute(const std::string& object, const std::string& name) const;
  void check_columns(const std::string& path, hid_t dataset, std::span<const Column> columns) const;
  /// The elements of a space, each of so many bytes in memory. Throws RecordError for more than a file of this size can
  /// hold, however well it is packed: no allocation follows a number that cannot be true.
  std::size_t count_elements(const std::string& where, hid_t space, std::size_t bytes_each) const;
  /// Throws RecordError unless the space holds one element.
  void check_single(const std::string& where, hid_t space) const;
  /// Passes an identifier or status through; throws RecordError if it is negative.
  hid_t check(hid_t result, std::string_view where, std::string_view doing) const;

  std::filesystem::path path_;
  Id file_;
};

}  // namespace mneme::record::h5
