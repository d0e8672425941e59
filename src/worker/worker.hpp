// The background processes' settings; src/cdp.cpp defines them as GUCs.
#pragma once

namespace cdp::worker {

struct Settings {
  bool enabled = true;         // cdp.worker
  int naptime_ms = 1000;       // cdp.worker_naptime
  int batch_size = 20000;      // cdp.batch_size
  int launcher_naptime_s = 10; // cdp.launcher_naptime
};
extern Settings settings;

} // namespace cdp::worker
