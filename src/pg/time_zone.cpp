#include "pg/time_zone.hpp"

extern "C" {
#include "pgtime.h"
#include "utils/datetime.h"
}

namespace cdp::pg {

core::Timestamp at_time_zone(core::Timestamp local, const std::string &zone) {
  const char *name = zone.c_str();
  const int west = call([&] {
    pg_tz *found = pg_tzset(name);
    if (!found)
      ereport(ERROR,
              (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("time zone \"%s\" is not known", name)));
    struct pg_tm parts;
    fsec_t fraction;
    if (timestamp2tm(local, nullptr, &parts, &fraction, nullptr, nullptr) != 0)
      ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
    return DetermineTimeZoneOffset(&parts, found);
  });
  return local + west * core::kMicrosPerSecond;
}

} // namespace cdp::pg
