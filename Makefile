# cdp: built with PGXS. `make && make install && make installcheck`; scripts/test runs everything.
EXTENSION   = cdp
MODULE_big  = cdp
PG_CONFIG  ?= pg_config
PKG_CONFIG ?= pkg-config
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" cdp.control)
PG_MAJOR   := $(shell $(PG_CONFIG) --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')

# The install script, in the order a message flows: each room may use the rooms before it.
SQL_PARTS = src/schema.sql \
  src/collect/collect.sql src/collect/months.sql src/collect/event_names.sql src/collect/sources.sql src/collect/tracking_plans.sql src/collect/suppress.sql src/collect/csv.sql src/identity/normalizers.sql src/identity/identity.sql src/identity/rules.sql src/identity/owners.sql src/profile/profile.sql src/profile/survivorship.sql \
  src/segment/sequence.sql src/segment/aggregates.sql src/segment/segment.sql src/segment/timeline.sql src/segment/membership.sql \
  src/segment/rank.sql src/segment/definitions.sql src/segment/changes.sql src/segment/refresh.sql src/segment/lists.sql src/segment/exchange.sql \
  src/segment/why.sql src/segment/computed.sql src/segment/preview.sql src/segment/explain.sql \
  src/segment/templates.sql src/segment/templates_shipped.sql src/segment/feed.sql src/segment/sets.sql src/segment/statistics.sql \
  src/pipeline/pipeline.sql src/pipeline/withdraw.sql src/pipeline/imports.sql src/pipeline/quarantine.sql src/pipeline/retention.sql src/pipeline/archive.sql src/pipeline/reprocess.sql src/account/account.sql src/account/definitions.sql src/account/exchange.sql src/account/refresh.sql src/account/asked.sql src/identity/decisions.sql src/identity/explain.sql src/identity/health.sql \
  src/identity/profiles_sync.sql src/identity/check.sql src/profile/computed.sql src/profile/golden.sql src/profile/document.sql \
  src/bi/profile_views.sql src/bi/profile_view_changes.sql \
  src/attach/attach.sql src/attach/read.sql src/attach/tell.sql src/attach/follow.sql src/attach/compare.sql src/attach/doors.sql src/attach/warehouse_messages.sql src/attach/warehouse.sql src/worker/worker.sql src/match/similarity.sql src/match/matcher.sql src/match/people.sql src/match/nicknames.sql src/match/review.sql src/match/follow.sql src/pipeline/mend.sql src/pipeline/fold.sql src/govern/verify_identity.sql src/govern/verify_traits.sql src/govern/verify.sql src/govern/health.sql src/govern/personal.sql src/govern/access.sql
DATA       = $(wildcard updates/*.sql)
DATA_built = cdp--$(EXTVERSION).sql
SRCS       = $(wildcard src/*.cpp src/*/*.cpp)
OBJS       = $(SRCS:.cpp=.o)

# PG15 defines PGDLLEXPORT as nothing on ELF: without this -fvisibility=hidden hides every SQL function.
ifeq ($(shell test $(PG_MAJOR) -lt 16 && echo yes),yes)
EXPORT = '-DPGDLLEXPORT=__attribute__((visibility("default")))'
endif
WARNINGS    = -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-register -Wno-missing-field-initializers -Werror
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) $(shell $(PKG_CONFIG) --cflags icu-uc icu-i18n) $(EXPORT)
PG_CXXFLAGS = -std=c++20 -fvisibility=hidden -fvisibility-inlines-hidden $(WARNINGS) $(SANITIZE)
SHLIB_LINK  = -Wl,--version-script=exports.map $(shell $(PKG_CONFIG) --libs icu-i18n icu-uc) -lphonenumber -lsimdjson -lroaring -lcrypto -lstdc++ $(SANITIZE)
EXTRA_CLEAN = $(DATA_built) $(SRCS:.cpp=.d) $(SRCS:.cpp=.bc) results output_iso tmp_check regression.*

REGRESS        = $(shell cat sql/schedule)
ISOLATION      = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso --load-extension=cdp

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS gives the bitcode compiler neither our standard nor our visibility.
ifeq ($(with_llvm),yes)
COMPILE.cxx.bc += $(filter -std=% -fvisibility% -Wno-register,$(PG_CXXFLAGS)) -Wno-deprecated-volatile
endif
# Header dependencies: Debian's PGXS has none, and a stale object would corrupt memory.
override CXXFLAGS += -MMD -MP
-include $(SRCS:.cpp=.d)

all: $(DATA_built)
$(DATA_built): $(SQL_PARTS) cdp.control
	cat $(SQL_PARTS) > $@
