#include "pg/names.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}

namespace cdp::pg {

namespace {

constexpr std::uint32_t kPlaces = 256;
constexpr std::size_t kLongest = 48;

struct Known {
  char schema[kLongest], name[kLongest];
  Oid id;
};

Known known[kPlaces]; // each at the place of its hash, or next to it; the last one stays
bool follows = false;

void forget(Datum, int, uint32) {
  for (auto &one : known)
    one.id = InvalidOid;
}

bool is_of(const Known &one, const char *schema, const char *name) {
  return OidIsValid(one.id) && strcmp(one.name, name) == 0 && strcmp(one.schema, schema) == 0;
}

Known &place_of(const char *schema, const char *name) {
  std::uint32_t hash = 2166136261;
  for (const auto *text : {schema, name})
    for (; *text; ++text)
      hash = (hash ^ static_cast<unsigned char>(*text)) * 16777619;
  hash ^= hash >> 16;
  auto &first = known[hash % kPlaces], &next = known[(hash + 1) % kPlaces];
  if (is_of(first, schema, name))
    return first;
  return is_of(next, schema, name) || (OidIsValid(first.id) && !OidIsValid(next.id)) ? next : first;
}

} // namespace

Oid relation_named(const char *schema, const char *name) {
  auto &place = place_of(schema, name);
  if (is_of(place, schema, name))
    return place.id;
  if (!follows) {
    CacheRegisterSyscacheCallback(RELNAMENSP, forget, Datum(0));
    CacheRegisterSyscacheCallback(NAMESPACENAME, forget, Datum(0));
    follows = true;
  }
  const Oid space = get_namespace_oid(schema, true);
  const Oid id = OidIsValid(space) ? get_relname_relid(name, space) : InvalidOid;
  if (strlen(schema) < kLongest && strlen(name) < kLongest) {
    strcpy(place.schema, schema);
    strcpy(place.name, name);
    place.id = id;
  }
  return id;
}

Oid table_to_write(const char *schema, const char *name, Writes what) {
  const bool inserts = what == Writes::insert;
  const Oid id = relation_named(schema, name);
  if (!OidIsValid(id) ||
      pg_class_aclcheck(id, GetUserId(), inserts ? ACL_INSERT : ACL_UPDATE) != ACLCHECK_OK ||
      check_enable_rls(id, InvalidOid, true) == RLS_ENABLED)
    return InvalidOid;
  PreventCommandIfReadOnly(inserts ? "INSERT" : "UPDATE");
  return id;
}

AttrNumber column_named(Relation table, const char *name) {
  const TupleDesc row = RelationGetDescr(table);
  for (int i = 0; i < row->natts; ++i)
    if (!TupleDescAttr(row, i)->attisdropped && strcmp(NameStr(TupleDescAttr(row, i)->attname), name) == 0)
      return static_cast<AttrNumber>(i + 1);
  return InvalidAttrNumber;
}

} // namespace cdp::pg
