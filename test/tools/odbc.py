#!/usr/bin/python3
"""What a tool that speaks ODBC sees of profile views: odbc.py HOST PORT DATABASE"""
import datetime
import decimal
import glob
import sys

import pyodbc

FAILED = []

# name, type's name, ODBC's number of the type, size, digits behind the point, beginning of the comment
COLUMNS = [
    ("profile_id", "int8", pyodbc.SQL_BIGINT, 19, 0, "Number of the person"),
    ("name", "text", pyodbc.SQL_WLONGVARCHAR, None, None, "What we call them. Golden trait name."),
    ("email", "text", pyodbc.SQL_WLONGVARCHAR, None, None, "The identifier of type email that was seen first."),
    ("country", "varchar", pyodbc.SQL_WVARCHAR, 2, None, "Golden trait country. Null where there is none, or it does not fit"),
    ("age", "int4", pyodbc.SQL_INTEGER, 10, 0, "Golden trait age."),
    ("born", "date", pyodbc.SQL_TYPE_DATE, 10, None, "Golden trait born."),
    ("total_spend", "numeric", pyodbc.SQL_NUMERIC, 12, 2, "Computed trait total_spend: sum("),
    ("orders", "int8", pyodbc.SQL_BIGINT, 19, 0, "Computed trait orders: count(*)"),
    ("vip", "bool", pyodbc.SQL_VARCHAR, 5, None, "Whether in segment vip: "),
    ("vip_since", "timestamptz", pyodbc.SQL_TYPE_TIMESTAMP, 26, 6, "Since when in segment vip: "),
    ("tags", None, None, None, None, "Golden trait tags."),
    ("public_id", "uuid", pyodbc.SQL_GUID, None, None, "The id to give to others."),
]


def same(what, got, expected):
    if got != expected:
        FAILED.append(what)
        print(f"FAILED {what}: got {got!r}, expected {expected!r}")


def check_table(cursor, view, kinds):
    tables = cursor.tables(schema="cdp_views", table=view).fetchall()
    same(f"{view} is listed", len(tables), 1)
    same(f"{view}: type", tables[0].table_type in kinds, True)
    columns = cursor.columns(schema="cdp_views", table=view).fetchall()
    same(f"{view}: columns", [c.column_name for c in columns], [c[0] for c in COLUMNS])
    for got, (name, type_name, number, size, digits, remarks) in zip(columns, COLUMNS):
        name = f"{view}.{name}"
        for what, value, expected in (("type", got.type_name, type_name), ("number of type", got.data_type, number),
                                      ("size", got.column_size, size), ("digits", got.decimal_digits, digits)):
            if expected is not None:
                same(f"{name}: {what}", value, expected)
        same(f"{name}: nullable", got.nullable, 1)


def check_comments(cursor, view):
    """psqlODBC has no remarks, of any table: who wants them asks the catalog through it."""
    rows = cursor.execute("SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = CAST(? AS regclass) AND attnum > 0 "
                          "ORDER BY attnum", f"cdp_views.{view}").fetchall()
    for (comment,), column in zip(rows, COLUMNS):
        same(f"{view}.{column[0]}: comment", comment[:len(column[5])], column[5])


def check_values(cursor, view):
    anna, bert = cursor.execute(f"SELECT * FROM cdp_views.{view} ORDER BY name").fetchall()
    same(f"{view}: values", (anna.name, anna.age, anna.born, anna.total_spend, anna.orders),
         ("Anna", 41, datetime.date(1985, 2, 3), decimal.Decimal("120.51"), 1))
    same(f"{view}: timestamp", isinstance(anna.vip_since, datetime.datetime), True)
    same(f"{view}: boolean", anna.vip, "1")
    same(f"{view}: what does not fit", (bert.name, bert.age, bert.country), ("Bert ✓", None, None))


def main():
    driver = sorted(glob.glob("/usr/lib/*/odbc/psqlodbcw.so"))[0]
    host, port, database = sys.argv[1:]
    cursor = pyodbc.connect(f"Driver={driver};Servername={host};Port={port};Database={database};UID=postgres").cursor()
    check_table(cursor, "people", ("VIEW",))
    check_table(cursor, "people_kept", ("MATERIALIZED VIEW", "MATVIEW", "TABLE"))
    check_comments(cursor, "people")
    check_comments(cursor, "people_kept")
    check_values(cursor, "people")
    check_values(cursor, "people_kept")
    print("ok" if not FAILED else f"{len(FAILED)} failed")
    return len(FAILED) > 0


if __name__ == "__main__":
    sys.exit(main())
