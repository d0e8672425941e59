// Times parse_message over a file of newline-delimited messages; prints microseconds a message.
#include "message.hpp"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: message_bench messages.ndjson\n");
    return 2;
  }
  std::ifstream in(argv[1]);
  std::vector<std::string> lines;
  std::size_t bytes = 0;
  for (std::string line; std::getline(in, line); bytes += line.size())
    lines.push_back(line);
  if (lines.empty())
    return 2;
  std::size_t good = 0;
  std::size_t parsed = 0;
  const auto start = std::chrono::steady_clock::now();
  double micros = 0;
  while (micros < 2e6) {
    for (const std::string &line : lines)
      good += cdp::core::parse_message(line).index() == 0;
    parsed += lines.size();
    micros = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }
  std::printf(
      "%zu messages of %zu bytes on average, %zu of %zu parses accepted: %.3f us a message, %.0f MB/s\n",
      lines.size(), bytes / lines.size(), good, parsed, micros / static_cast<double>(parsed),
      static_cast<double>(bytes) * static_cast<double>(parsed) / static_cast<double>(lines.size()) / micros);
  return 0;
}
