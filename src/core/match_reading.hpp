// Records of a whole table, from its rows in whatever order. Values are numbered a column at a time; what
// features make of a column's text is made once a text; in the end records are put in order. Throws
// std::bad_alloc only.
#pragma once

#include <span>
#include <string>

#include "match_index.hpp"

namespace cdp::core::match {

class Reading {
public:
  /// Where a feature comes from: a column as it is, or what is made of the column's texts.
  struct From {
    std::size_t column;
    bool made;
  };
  /// The model must outlive it.
  Reading(const Model &model, std::size_t columns, std::vector<From> features);

  /// Rows, one after the other: id, source, columns; without data where NULL, which ids and sources are not.
  void add(std::span<const std::string_view> cells);
  std::size_t size() const { return sources_.size(); }

  /// Once all are there.
  void put_in_order(const RecordOrder &order);
  /// The texts of a column, each once, and one without data if it is ever NULL. They stay where they are.
  std::vector<std::string_view> texts(std::size_t column);
  /// What a feature is of each of these. They need hold during the call only.
  void make(std::size_t feature, const std::vector<std::string_view> &of_texts);
  /// The same, for a feature that is known here (Feature::cut).
  void cut(std::size_t feature);

  /// Once every feature that is made has been.
  Records finish();

private:
  struct Entry {
    std::uint64_t key;
    Place record;
  };
  void number_texts(std::size_t column);
  void add_numbers(std::size_t feature);
  RoughArray<Entry> in_order(const RecordOrder &order) const;
  std::string_view id(std::size_t record) const {
    return std::string_view(ids_).substr(id_ends_[record], id_ends_[record + 1] - id_ends_[record]);
  }

  const Model &model_;
  std::vector<From> from_;
  Records records_;
  std::string ids_;
  std::vector<std::uint64_t> id_ends_{0};
  RoughArray<Code> sources_;
  Code last_source_ = 0;
  std::vector<RoughArray<Code>> columns_;
  std::size_t numbered_ = static_cast<std::size_t>(-1); // the column whose texts are numbered
  std::vector<Code> texts_;                             // its texts
  std::vector<Code> numbers_;                           // from 1: of a code, its place in texts_
};

} // namespace cdp::core::match
