#include "match_reading.hpp"
#include "radix.hpp"

#include <algorithm>
#include <cmath>

namespace cdp::core::match {

namespace {

/// The first bytes from there on, the first one highest.
std::uint64_t first_bytes(std::string_view text, std::size_t from) {
  std::uint64_t bytes = 0;
  for (std::size_t i = from; i < from + 8; ++i)
    bytes = bytes << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0);
  return bytes;
}

/// The first so many characters.
std::string_view first_characters(std::string_view text, std::size_t number) {
  std::size_t at = 0;
  for (; at < text.size(); ++at)
    if ((text[at] & 0xC0) != 0x80 && number-- == 0)
      break;
  return text.substr(0, at);
}

} // namespace

Reading::Reading(const Model &model, std::size_t columns, std::vector<From> features)
    : model_(model), from_(std::move(features)), records_(model), columns_(columns) {}

void Reading::add(std::span<const std::string_view> cells) {
  const auto width = columns_.size() + 2, rows = cells.size() / width;
  auto &dictionary = records_.dictionary_;
  for (std::size_t row = 0; row < rows; ++row) {
    ids_ += cells[row * width];
    id_ends_.push_back(ids_.size());
    const auto source = cells[row * width + 1];
    if (!last_source_ || dictionary.text(last_source_) != source)
      last_source_ = dictionary.code(source);
    sources_.push_back(last_source_);
  }
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    auto &codes = columns_[column];
    const auto before = codes.size();
    codes.resize(before + rows);
    dictionary.codes(cells.data() + 2 + column, width, rows, codes.data() + before);
    need_wanted();
  }
}

void Reading::number_texts(std::size_t column) {
  if (numbered_ == column)
    return;
  numbered_ = column;
  texts_.clear();
  numbers_.assign(records_.dictionary_.size(), 0);
  Patience patience;
  for (const Code code : columns_[column]) {
    patience.step();
    if (numbers_[code] == 0) {
      texts_.push_back(code);
      numbers_[code] = static_cast<Code>(texts_.size());
    }
  }
}

std::vector<std::string_view> Reading::texts(std::size_t column) {
  number_texts(column);
  std::vector<std::string_view> texts;
  texts.reserve(texts_.size());
  for (const Code code : texts_)
    texts.push_back(code ? records_.text(code) : std::string_view());
  return texts;
}

void Reading::make(std::size_t feature, const std::vector<std::string_view> &of_texts) {
  const auto &codes = columns_[from_[feature].column];
  number_texts(from_[feature].column);
  std::vector<Code> made(of_texts.size());
  records_.dictionary_.codes(of_texts.data(), 1, of_texts.size(), made.data());
  auto &to = records_.codes_[feature];
  to.resize(codes.size());
  Patience patience;
  for (std::size_t i = 0; i < codes.size(); ++i, patience.step())
    to[i] = made[numbers_[codes[i]] - 1];
  if (records_.is_number_[feature]) {
    std::vector<double> of_made;
    for (const Code code : made) {
      patience.step();
      of_made.push_back(records_.number_of(code));
    }
    auto &numbers = records_.numbers_[feature];
    numbers.resize(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i, patience.step())
      numbers[i] = of_made[numbers_[codes[i]] - 1];
  }
  if (records_.is_list_[feature])
    for (const Code code : made) {
      patience.step();
      records_.note_elements(code);
    }
}

void Reading::cut(std::size_t feature) {
  const auto &how = model_.features[feature];
  auto texts = this->texts(from_[feature].column);
  Patience patience;
  for (auto &text : texts) {
    patience.step();
    if (!text.data())
      continue;
    if (how.cut == Feature::Cut::first)
      text = first_characters(text, how.length);
    else
      text = text.substr(0, text.find('@'));
    if (how.empty_is_unknown && text.empty())
      text = {};
  }
  make(feature, texts);
}

RoughArray<Reading::Entry> Reading::in_order(const RecordOrder &order) const {
  RoughArray<Entry> entries(size()), other;
  Patience patience;
  auto common = size() > 0 ? id(0) : std::string_view(); // that all ids begin with
  for (std::size_t i = 0; i < size() && !order.by_number(); ++i, patience.step()) {
    const auto one = id(i);
    common = common.substr(
        0, static_cast<std::size_t>(
               std::mismatch(common.begin(), common.end(), one.begin(), one.end()).first - common.begin()));
  }
  std::uint64_t largest = 0;
  for (Place i = 0; i < size(); ++i, patience.step()) {
    const auto key =
        order.by_number() ? order.number(id(i)) ^ std::uint64_t{1} << 63 : first_bytes(id(i), common.size());
    entries[i] = {key, i};
    largest = std::max(largest, key);
  }
  sort_by_key(entries, other, largest);
  for (auto first = entries.begin(), next = first; first != entries.end(); first = next) {
    while (next != entries.end() && next->key == first->key)
      ++next;
    if (next - first > 1 && !order.by_number())
      std::stable_sort(first, next, [&](const Entry &a, const Entry &b) {
        patience.step();
        return id(a.record) < id(b.record);
      });
  }
  if (!order.by_source())
    return entries;
  std::vector<Code> sources(sources_.begin(), sources_.end());
  std::sort(sources.begin(), sources.end(), [&](Code a, Code b) {
    patience.step();
    return a < b;
  });
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  const auto head = [&](Code source) { return RecordOrder::head(records_.text(source)); };
  std::sort(sources.begin(), sources.end(), [&](Code a, Code b) { return head(a) < head(b); });
  const bool apart = std::adjacent_find(sources.begin(), sources.end(), [&](Code a, Code b) {
                       return head(b).starts_with(head(a));
                     }) == sources.end();
  if (apart) { // one source after the other
    std::unordered_map<Code, std::uint64_t> ranks;
    for (const Code source : sources)
      ranks.emplace(source, ranks.size());
    for (auto &entry : entries)
      entry.key = ranks.at(sources_[entry.record]);
    sort_by_key(entries, other, sources.size());
  } else {
    std::stable_sort(entries.begin(), entries.end(), [&](const Entry &a, const Entry &b) {
      patience.step();
      return order.precedes(id(a.record), records_.text(sources_[a.record]), id(b.record),
                            records_.text(sources_[b.record]));
    });
  }
  return entries;
}

void Reading::put_in_order(const RecordOrder &order) {
  const auto places = in_order(order);
  Patience patience;
  std::string ids;
  std::vector<std::uint64_t> id_ends{0};
  ids.reserve(ids_.size());
  id_ends.reserve(size() + 1);
  for (const auto &place : places) {
    patience.step();
    ids += id(place.record);
    id_ends.push_back(ids.size());
  }
  ids_.swap(ids);
  id_ends_.swap(id_ends);
  const auto put = [&](RoughArray<Code> &codes) {
    RoughArray<Code> ordered(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i, patience.step())
      ordered[i] = codes[places[i].record];
    codes.swap(ordered);
  };
  put(sources_);
  for (auto &column : columns_)
    put(column);
}

Records Reading::finish() {
  records_.ids_ = std::move(ids_);
  records_.id_ends_ = std::move(id_ends_);
  records_.sources_ = std::move(sources_);
  for (std::size_t f = 0; f < from_.size(); ++f)
    if (!from_[f].made) {
      records_.codes_[f] = std::move(columns_[from_[f].column]); // no other feature is the same column
      add_numbers(f);
    }
  return std::move(records_);
}

// Of a feature that is a column as it is.
void Reading::add_numbers(std::size_t feature) {
  Patience patience;
  if (records_.is_list_[feature])
    for (const Code code : records_.codes_[feature]) {
      patience.step();
      records_.note_elements(code);
    }
  if (!records_.is_number_[feature])
    return;
  std::vector<double> of_codes(records_.dictionary_.size(), -HUGE_VAL); // what it is not yet known of
  auto &numbers = records_.numbers_[feature];
  for (const Code code : records_.codes_[feature]) {
    patience.step();
    auto &number = of_codes[code];
    if (number == -HUGE_VAL)
      number = records_.number_of(code);
    numbers.push_back(number);
  }
}

} // namespace cdp::core::match
