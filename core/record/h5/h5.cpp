#include "core/record/h5/h5.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "core/base/error.h"

namespace mneme::record::h5 {
namespace fs = std::filesystem;

namespace {
/// HDF5 prints its error stack by default, per thread; ours goes into exceptions.
void silence_hdf5() {
  thread_local const bool silenced = ::H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
  static_cast<void>(silenced);
}

/// The innermost entry of HDF5's error stack, where the reason is.
std::string error_reason() {
  std::string reason;
  ::H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* entry, void* out) -> herr_t {
        if (n == 0 && entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
        return 0;
      },
      &reason);
  return reason.empty() ? "no reason given" : reason;
}

hid_t check_id(const fs::path& path, hid_t result, std::string_view where, std::string_view doing) {
  if (result >= 0) return result;
  throw RecordError(
      fmt::format("{}{}{}: cannot be {}: {}", path.string(), where.empty() ? "" : ": ", where, doing, error_reason()));
}

Id text_type() {
  Id type(::H5Tcopy(H5T_C_S1));
  ::H5Tset_size(type, H5T_VARIABLE);
  ::H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

/// The compound type of a table: in a file little-endian, in memory native; eight bytes per text pointer in memory.
Id row_type(std::span<const Column> columns, bool in_file) {
  const Id text = text_type();
  const auto type_of = [&](ColumnType type) -> hid_t {
    if (type == ColumnType::kInt) return in_file ? H5T_STD_I64LE : H5T_NATIVE_INT64;
    if (type == ColumnType::kReal) return in_file ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE;
    return text;
  };
  Id row(::H5Tcreate(H5T_COMPOUND, columns.size() * sizeof(Cell)));
  std::size_t offset = 0;
  for (const Column& column : columns) {
    ::H5Tinsert(row, column.name, offset, type_of(column.type));
    offset += sizeof(Cell);
  }
  return row;
}

Id creates_groups() {
  Id list(::H5Pcreate(H5P_LINK_CREATE));
  ::H5Pset_create_intermediate_group(list, 1);
  ::H5Pset_char_encoding(list, H5T_CSET_UTF8);
  return list;
}

/// Access through memory only: nothing is written behind our back, so that a killed process leaves no half-written
/// file.
Id memory_access() {
  constexpr std::size_t kGrowth = 1 << 18;
  Id list(::H5Pcreate(H5P_FILE_ACCESS));
  ::H5Pset_fapl_core(list, kGrowth, false);
  return list;
}

/// HDF5 takes two files in memory for one and the same if their names are equal.
std::string new_name() {
  static std::atomic<std::uint64_t> count = 0;
  return fmt::format("record-{}", ++count);
}

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

herr_t collect_dataset(hid_t, const char* name, const H5O_info_t* info, void* out) {
  if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

std::string_view type_name(H5T_class_t type) {
  switch (type) {
    case H5T_INTEGER:
      return "integer";
    case H5T_FLOAT:
      return "real";
    case H5T_STRING:
      return "text";
    default:
      return "other";
  }
}

bool accepts(ColumnType expected, hid_t found) {
  const H5T_class_t type = ::H5Tget_class(found);
  if (expected == ColumnType::kText) return type == H5T_STRING && ::H5Tis_variable_str(found) > 0;
  if (expected == ColumnType::kInt) return type == H5T_INTEGER;
  return type == H5T_FLOAT || type == H5T_INTEGER;
}
}  // namespace

Id::~Id() {
  if (id_ >= 0) ::H5Idec_ref(id_);
}

hid_t File::check(hid_t result, std::string_view where, std::string_view doing) const {
  return check_id(path_, result, where, doing);
}

File File::create_in_memory(const fs::path& name) {
  silence_hdf5();
  const Id access = memory_access();
  return {name, Id(check_id(name, ::H5Fcreate(new_name().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), "", "created"))};
}

File File::from_image(const fs::path& name, std::string bytes) {
  silence_hdf5();
  const Id access = memory_access();
  check_id(name, ::H5Pset_file_image(access, bytes.data(), bytes.size()), "", "loaded");
  return {name, Id(check_id(name, ::H5Fopen(new_name().c_str(), H5F_ACC_RDWR, access), "", "opened"))};
}

std::string File::image() const {
  check(::H5Fflush(file_, H5F_SCOPE_GLOBAL), "", "flushed");
  const ssize_t size = ::H5Fget_file_image(file_, nullptr, 0);
  check(static_cast<hid_t>(size), "", "copied");
  std::string bytes(static_cast<std::size_t>(size), '\0');
  check(static_cast<hid_t>(::H5Fget_file_image(file_, bytes.data(), bytes.size())), "", "copied");
  return bytes;
}

bool File::exists(const std::string& path) const {
  if (path == "/") return true;
  for (auto slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    if (::H5Lexists(file_, path.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
    if (slash == path.npos) return true;
  }
}

std::vector<std::string> File::list(const std::string& group) const {
  std::vector<std::string> names;
  if (!exists(group)) return names;
  const Id id = open_object(group);
  check(::H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_name, &names), group, "listed");
  return names;
}

std::vector<std::string> File::list_datasets(const std::string& group) const {
  std::vector<std::string> names;
  if (!exists(group)) return names;
  const Id id = open_object(group);
  check(::H5Ovisit2(id, H5_INDEX_NAME, H5_ITER_INC, collect_dataset, &names, H5O_INFO_BASIC), group, "listed");
  return names;
}

void File::remove(const std::string& path) { check(::H5Ldelete(file_, path.c_str(), H5P_DEFAULT), path, "removed"); }

void File::create_group(const std::string& path) {
  const Id links = creates_groups();
  const Id group(check(::H5Gcreate2(file_, path.c_str(), links, H5P_DEFAULT, H5P_DEFAULT), path, "created"));
}

Id File::open_object(const std::string& path) const {
  return Id(check(::H5Oopen(file_, path.c_str(), H5P_DEFAULT), path, "opened"));
}

Id File::open_dataset(const std::string& path) const {
  return Id(check(::H5Dopen2(file_, path.c_str(), H5P_DEFAULT), path, "read"));
}

void File::set_attribute(const std::string& object, const std::string& name, std::string_view text) {
  const Id owner = open_object(object), type = text_type(), space(::H5Screate(H5S_SCALAR));
  if (::H5Aexists(owner, name.c_str()) > 0) check(::H5Adelete(owner, name.c_str()), name, "replaced");
  const Id attribute(check(::H5Acreate2(owner, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), name, "created"));
  const std::string copy(text);
  const char* pointer = copy.c_str();
  check(::H5Awrite(attribute, type, &pointer), name, "written");
}

void File::set_attribute(const std::string& object, const std::string& name, std::int64_t value) {
  const Id owner = open_object(object), space(::H5Screate(H5S_SCALAR));
  if (::H5Aexists(owner, name.c_str()) > 0) check(::H5Adelete(owner, name.c_str()), name, "replaced");
  const Id attribute(
      check(::H5Acreate2(owner, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), name, "created"));
  check(::H5Awrite(attribute, H5T_NATIVE_INT64, &value), name, "written");
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  return exists(object) && ::H5Aexists(open_object(object), name.c_str()) > 0;
}

std::vector<std::string> File::attributes(const std::string& object) const {
  std::vector<std::string> names;
  const Id owner = open_object(object);
  check(::H5Aiterate2(owner, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_attribute, &names), object, "listed");
  return names;
}

Id File::open_attribute(const std::string& object, const std::string& name) const {
  return Id(check(::H5Aopen_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                  fmt::format("attribute '{}' of {}", name, object), "read"));
}

std::string File::attribute_text(const std::string& object, const std::string& name) const {
  const Id attribute = open_attribute(object, name), type(::H5Aget_type(attribute)), space(::H5Aget_space(attribute));
  const std::string where = fmt::format("attribute '{}' of {}", name, object);
  check_single(where, space);
  if (::H5Tget_class(type) == H5T_INTEGER) return std::to_string(attribute_integer(object, name));
  if (::H5Tget_class(type) != H5T_STRING)
    throw RecordError(fmt::format("{}: {}: expected a text, found another type", path_.string(), where));
  if (::H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    check(::H5Aread(attribute, text_type(), &text), where, "read");
    const std::string copy = text == nullptr ? "" : text;
    ::H5free_memory(text);
    return copy;
  }
  std::string text(::H5Tget_size(type), '\0');
  check(::H5Aread(attribute, type, text.data()), where, "read");
  return text.c_str();
}

std::int64_t File::attribute_integer(const std::string& object, const std::string& name) const {
  std::int64_t value = 0;
  const Id attribute = open_attribute(object, name), space(::H5Aget_space(attribute));
  const std::string where = fmt::format("attribute '{}' of {}", name, object);
  check_single(where, space);
  check(::H5Aread(attribute, H5T_NATIVE_INT64, &value), where, "read");
  return value;
}

void File::write_text(const std::string& path, std::string_view text) {
  if (exists(path)) remove(path);
  const Id links = creates_groups(), type = text_type(), space(::H5Screate(H5S_SCALAR));
  const Id dataset(
      check(::H5Dcreate2(file_, path.c_str(), type, space, links, H5P_DEFAULT, H5P_DEFAULT), path, "created"));
  const std::string copy(text);
  const char* pointer = copy.c_str();
  check(::H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &pointer), path, "written");
}

std::string File::read_text(const std::string& path) const {
  const Id dataset = open_dataset(path), space(::H5Dget_space(dataset));
  check_single(path, space);
  char* text = nullptr;
  check(::H5Dread(dataset, text_type(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), path, "read");
  const std::string copy = text == nullptr ? "" : text;
  ::H5free_memory(text);
  return copy;
}

void File::write_array(const std::string& path, const std::vector<std::int64_t>& shape,
                       std::span<const double> values) {
  if (exists(path)) {
    const Array present = read_array(path);
    if (present.shape == shape) {
      const Id dataset = open_dataset(path);
      check(::H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), path, "written");
      return;
    }
    remove(path);
  }
  const std::vector<hsize_t> extent(shape.begin(), shape.end());
  const Id links = creates_groups(), creation(::H5Pcreate(H5P_DATASET_CREATE));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  ::H5Pset_fill_value(creation, H5T_NATIVE_DOUBLE, &nan);
  const Id space(shape.empty() ? ::H5Screate(H5S_SCALAR)
                               : ::H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr));
  const Id dataset(
      check(::H5Dcreate2(file_, path.c_str(), H5T_IEEE_F64LE, space, links, creation, H5P_DEFAULT), path, "created"));
  check(::H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), path, "written");
}

Array File::read_array(const std::string& path) const {
  const Id dataset = open_dataset(path), space(::H5Dget_space(dataset));
  std::vector<hsize_t> extent(static_cast<std::size_t>(std::max(0, ::H5Sget_simple_extent_ndims(space))));
  ::H5Sget_simple_extent_dims(space, extent.data(), nullptr);
  Array array{{extent.begin(), extent.end()}, {}};
  array.values.resize(count_elements(path, space, sizeof(double)));
  check(::H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.values.data()), path, "read");
  return array;
}

void File::create_table(const std::string& path, std::span<const Column> columns, std::int64_t chunk_rows) {
  const hsize_t empty = 0, unlimited = H5S_UNLIMITED, chunk = static_cast<hsize_t>(chunk_rows);
  const Id links = creates_groups(), creation(::H5Pcreate(H5P_DATASET_CREATE));
  ::H5Pset_chunk(creation, 1, &chunk);
  const Id type = row_type(columns, true), space(::H5Screate_simple(1, &empty, &unlimited));
  const Id dataset(
      check(::H5Dcreate2(file_, path.c_str(), type, space, links, creation, H5P_DEFAULT), path, "created"));
}

void File::append_rows(const std::string& path, std::span<const Column> columns, std::span<const Cell> cells) {
  if (cells.empty()) return;
  const Id dataset = open_dataset(path);
  const hsize_t first = static_cast<hsize_t>(row_count(path)), count = cells.size() / columns.size();
  const hsize_t rows = first + count;
  check(::H5Dset_extent(dataset, &rows), path, "extended");
  const Id space(::H5Dget_space(dataset)), memory(::H5Screate_simple(1, &count, nullptr));
  ::H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, nullptr, &count, nullptr);
  check(::H5Dwrite(dataset, row_type(columns, false), memory, space, H5P_DEFAULT, cells.data()), path, "written");
}

void File::truncate_table(const std::string& path, std::int64_t rows) {
  const hsize_t extent = static_cast<hsize_t>(rows);
  check(::H5Dset_extent(open_dataset(path), &extent), path, "cut");
}

std::int64_t File::row_count(const std::string& path) const {
  const Id space(::H5Dget_space(open_dataset(path)));
  if (::H5Sget_simple_extent_ndims(space) != 1)
    throw RecordError(fmt::format("{}: {}: expected a table, found another shape", path_.string(), path));
  return static_cast<std::int64_t>(count_elements(path, space, sizeof(Cell)));
}

std::size_t File::count_elements(const std::string& where, hid_t space, std::size_t bytes_each) const {
  constexpr hsize_t kDensest = 1032;  // bytes that deflate can make of one
  hsize_t file_bytes = 0;
  check(::H5Fget_filesize(file_, &file_bytes), where, "read");
  const hssize_t count = ::H5Sget_simple_extent_npoints(space);
  if (count < 0 || static_cast<hsize_t>(count) > file_bytes * kDensest / bytes_each)
    throw RecordError(fmt::format("{}: {}: claims {} elements, more than a file of {} bytes can hold", path_.string(),
                                  where, count, file_bytes));
  return static_cast<std::size_t>(count);
}

void File::check_single(const std::string& where, hid_t space) const {
  if (const hssize_t count = ::H5Sget_simple_extent_npoints(space); count != 1)
    throw RecordError(fmt::format("{}: {}: expected a single value, found {}", path_.string(), where, count));
}

void File::check_columns(const std::string& path, hid_t dataset, std::span<const Column> columns) const {
  const Id type(::H5Dget_type(dataset));
  if (::H5Tget_class(type) != H5T_COMPOUND)
    throw RecordError(fmt::format("{}: {}: expected a compound table, found another type", path_.string(), path));
  std::vector<std::string> names;
  for (int i = 0; i < ::H5Tget_nmembers(type); ++i) {
    char* name = ::H5Tget_member_name(type, static_cast<unsigned>(i));
    names.emplace_back(name);
    ::H5free_memory(name);
  }
  for (const Column& column : columns) {
    const int index = ::H5Tget_member_index(type, column.name);
    if (index < 0)
      throw RecordError(
          fmt::format("{}: {}: no column '{}'; found: {}", path_.string(), path, column.name, fmt::join(names, ", ")));
    const Id member(::H5Tget_member_type(type, static_cast<unsigned>(index)));
    if (accepts(column.type, member)) continue;
    throw RecordError(fmt::format("{}: {}: column '{}' is of type {}; layout version 1 has another one there",
                                  path_.string(), path, column.name, type_name(::H5Tget_class(member))));
  }
}

Rows File::read_rows(const std::string& path, std::span<const Column> columns) const {
  return read_rows(path, columns, 0, row_count(path));
}

Rows File::read_rows(const std::string& path, std::span<const Column> columns, std::int64_t first,
                     std::int64_t count) const {
  const Id dataset = open_dataset(path);
  check_columns(path, dataset, columns);
  std::vector<Cell> cells(static_cast<std::size_t>(count) * columns.size());
  std::vector<std::string> texts;
  if (count == 0) return {std::move(cells), std::move(texts), columns.size()};
  const hsize_t start = static_cast<hsize_t>(first), rows = static_cast<hsize_t>(count);
  const Id space(::H5Dget_space(dataset)), memory(::H5Screate_simple(1, &rows, nullptr));
  check(::H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, nullptr, &rows, nullptr), path, "read");
  const Id type = row_type(columns, false);
  check(::H5Dread(dataset, type, memory, space, H5P_DEFAULT, cells.data()), path, "read");
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (columns[i % columns.size()].type != ColumnType::kText) continue;
    texts.emplace_back(cells[i].text == nullptr ? "" : cells[i].text);
    ::H5free_memory(const_cast<char*>(cells[i].text));
    cells[i].integer = static_cast<std::int64_t>(texts.size()) - 1;
  }
  return {std::move(cells), std::move(texts), columns.size()};
}

}  // namespace mneme::record::h5
