// Instants as PostgreSQL stores them, and the strict ISO 8601 that Segment-spec messages carry.
// Pure functions; nothing here throws but std::bad_alloc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cdp::core {

/// Microseconds since 2000-01-01 00:00 UTC, the same as PostgreSQL's TimestampTz.
using Timestamp = std::int64_t;

inline constexpr Timestamp kInfinity = INT64_MAX;
inline constexpr Timestamp kMinusInfinity = INT64_MIN;
inline constexpr Timestamp kMicrosPerSecond = 1'000'000;
inline constexpr Timestamp kMicrosPerDay = 86'400 * kMicrosPerSecond;

/// Microseconds at UTC midnight of a proleptic Gregorian date; the date must exist.
Timestamp midnight_utc(std::int64_t year, unsigned month, unsigned day);

/// `YYYY-MM-DD`, or that plus `T` or one space, `HH:MM[:SS[.fraction]]` and `Z`, `±HH`, `±HHMM`, `±HH:MM` or
/// nothing (UTC). Fractions have 1..9 digits and are cut (not rounded) to microseconds, so a parsed instant
/// is never later than the written one. Second 60 is the next minute. Years 1..9999 in UTC; all else is
/// refused. `has_zone` says whether a zone was written.
std::optional<Timestamp> parse_iso8601(std::string_view text, bool *has_zone = nullptr);

/// `2025-04-02T05:37:22.472000Z`; `infinity` and `-infinity` for the two sentinels.
std::string format_iso8601(Timestamp at);

} // namespace cdp::core
