// Loading the library: settings, and the launcher when the server preloads us. Nothing else.
#include "collect/months.hpp"
#include "collect/sources.hpp"
#include "core/match_wanted.hpp"
#include "pipeline/company.hpp"
#include "worker/worker.hpp"

#include "pg/background.hpp"
#include "pg/time_budget.hpp"

cdp::worker::Settings cdp::worker::settings;

namespace {

using cdp::worker::settings;

void define_settings() {
  DefineCustomBoolVariable("cdp.worker", "Whether cdp does its work in the background.",
                           "When off, the workers leave; the same work can be called with CALL cdp.run().",
                           &settings.enabled, settings.enabled, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("cdp.worker_naptime", "How long a cdp worker waits when there is nothing to do.",
                          nullptr, &settings.naptime_ms, settings.naptime_ms, 10, 3'600'000, PGC_SIGHUP,
                          GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "cdp.batch_size", "How many lines of cdp.inbox are decided in one transaction at most.",
      "Fewer, down to 1000, when they would take longer than half a second; the result is the same.",
      &settings.batch_size, settings.batch_size, 1, 100'000, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "cdp.inbox_workers", "How many processes decide lines of cdp.inbox together when many wait.",
      "The worker is one of them; the others take slots of max_worker_processes while they are needed.",
      &cdp::pipeline::inbox_workers, cdp::pipeline::inbox_workers, 1, 16, PGC_SIGHUP, 0, nullptr, nullptr,
      nullptr);
  DefineCustomIntVariable("cdp.launcher_naptime", "How often the cdp launcher looks for new databases.",
                          "CREATE EXTENSION is noticed at once, whatever this says.",
                          &settings.launcher_naptime_s, settings.launcher_naptime_s, 1, 3600, PGC_SIGHUP,
                          GUC_UNIT_S, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("cdp.register_sources",
                           "Whether a source that is new is registered by its first message.",
                           "When off, messages of sources that nobody created go to quarantine.",
                           &cdp::collect::register_sources, true, PGC_SUSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("cdp.expression_timeout",
                          "How long what somebody wrote may take: the expressions of an attached table, a "
                          "row or a batch of them, or a rule, for a person or some people together.",
                          "A row that takes longer goes to quarantine, a person is an error of the segment; "
                          "0 is no limit.",
                          &cdp::pg::expression_timeout_ms, cdp::pg::expression_timeout_ms, 0, 3'600'000,
                          PGC_SUSET, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("cdp.refresh_timeout",
                          "How long a refresh on schedule may take: of a materialized profile view, or of a "
                          "segment that is read as a whole.",
                          "One that takes longer is given up until it is due again; 0 is no limit.",
                          &cdp::pg::refresh_timeout_ms, cdp::pg::refresh_timeout_ms, 0, 86'400'000, PGC_SUSET,
                          GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "cdp.max_event_age", "How many days before its receipt something can have happened.",
      "Messages that say it was earlier go to quarantine as absurd_time.", &cdp::collect::max_event_age,
      cdp::collect::max_event_age, 1, 2'000'000, PGC_SUSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "cdp.max_event_lead", "How many days after its receipt something can have happened.",
      "Messages that say it was later go to quarantine as absurd_time.", &cdp::collect::max_event_lead,
      cdp::collect::max_event_lead, 0, 4'000'000, PGC_SUSET, 0, nullptr, nullptr, nullptr);
  MarkGUCPrefixReserved("cdp");
}

} // namespace

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
void _PG_init(void) {
  define_settings();
  cdp::core::match::ask_if_wanted = [] { cdp::pg::check_for_interrupts(); };
  if (process_shared_preload_libraries_in_progress)
    cdp::pg::install_launcher();
}
}
