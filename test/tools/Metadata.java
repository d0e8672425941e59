// What a tool that speaks JDBC sees of profile views: java -cp postgresql.jar Metadata.java jdbc:postgresql://…
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

public class Metadata {
  static int failed = 0;

  static void is(String what, Object got, Object expected) {
    if (!Objects.equals(String.valueOf(got), String.valueOf(expected))) {
      failed++;
      System.out.println("FAILED " + what + ": got " + got + ", expected " + expected);
    }
  }

  // name, type's name, java.sql.Types, size, digits behind the point, beginning of the remarks
  static final Object[][] COLUMNS = {
      {"profile_id", "int8", Types.BIGINT, 19, 0, "Number of the person"},
      {"name", "text", Types.VARCHAR, Integer.MAX_VALUE, 0, "What we call them. Golden trait name."},
      {"email", "text", Types.VARCHAR, Integer.MAX_VALUE, 0, "The identifier of type email that was seen first."},
      {"country", "varchar", Types.VARCHAR, 2, 0, "Golden trait country. Null where there is none, or it does not fit"},
      {"age", "int4", Types.INTEGER, 10, 0, "Golden trait age."},
      {"born", "date", Types.DATE, 13, 0, "Golden trait born."},
      {"total_spend", "numeric", Types.NUMERIC, 12, 2, "Computed trait total_spend: sum("},
      {"orders", "int8", Types.BIGINT, 19, 0, "Computed trait orders: count(*)"},
      {"vip", "bool", Types.BIT, 1, 0, "Whether in segment vip: "},
      {"vip_since", "timestamptz", Types.TIMESTAMP, 35, 6, "Since when in segment vip: "},
      {"tags", "_text", Types.ARRAY, Integer.MAX_VALUE, 0, "Golden trait tags."},
      {"public_id", "uuid", Types.OTHER, Integer.MAX_VALUE, 0, "The id to give to others."},
  };

  static void table(DatabaseMetaData data, String view, String type) throws SQLException {
    try (ResultSet r = data.getTables(null, "cdp_views", view, new String[] {type})) {
      is(view + " is listed", r.next(), true);
      is(view + ": remarks", r.getString("REMARKS"), "Our customers");
      is(view + ": type", r.getString("TABLE_TYPE"), type);
      is(view + " is listed once", r.next(), false);
    }
    int place = 0;
    try (ResultSet r = data.getColumns(null, "cdp_views", view, null)) {
      for (; r.next() && place < COLUMNS.length; place++) {
        Object[] column = COLUMNS[place];
        String name = view + "." + column[0];
        is(name + ": name", r.getString("COLUMN_NAME"), column[0]);
        is(name + ": place", r.getInt("ORDINAL_POSITION"), place + 1);
        is(name + ": type", r.getString("TYPE_NAME"), column[1]);
        is(name + ": SQL type", r.getInt("DATA_TYPE"), column[2]);
        is(name + ": size", r.getInt("COLUMN_SIZE"), column[3]);
        is(name + ": digits", r.getInt("DECIMAL_DIGITS"), column[4]);
        is(name + ": nullable", r.getInt("NULLABLE"), DatabaseMetaData.columnNullable);
        String remarks = r.getString("REMARKS");
        if (remarks == null || !remarks.startsWith((String) column[5]))
          is(name + ": remarks", remarks, column[5] + "…");
      }
    }
    is(view + ": columns", place, COLUMNS.length);
  }

  static void values(Connection connection, String view) throws SQLException {
    try (Statement s = connection.createStatement(); ResultSet r = s.executeQuery("SELECT * FROM cdp_views." + view + " ORDER BY name")) {
      ResultSetMetaData data = r.getMetaData();
      is(view + ": precision of a result", data.getPrecision(7) + "," + data.getScale(7), "12,2");
      is(view + ": length of a result", data.getPrecision(4), 2);
      r.next();
      is(view + ": text", r.getString("name"), "Anna");
      is(view + ": integer", r.getObject("age"), Integer.valueOf(41));
      is(view + ": date", r.getDate("born"), java.sql.Date.valueOf("1985-02-03"));
      is(view + ": numeric", r.getObject("total_spend"), new BigDecimal("120.51"));
      is(view + ": bigint", r.getObject("orders"), Long.valueOf(1));
      is(view + ": boolean", r.getObject("vip"), Boolean.TRUE);
      is(view + ": timestamp", r.getTimestamp("vip_since") != null, true);
      is(view + ": array", Arrays.toString((Object[]) r.getArray("tags").getArray()), "[a, b]");
      r.next();
      is(view + ": a text that is not ASCII", r.getString("name"), "Bert ✓");
      is(view + ": what does not fit", r.getObject("age") + " " + r.getObject("country"), "null null");
    }
  }

  public static void main(String[] arguments) throws SQLException {
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      DatabaseMetaData data = connection.getMetaData();
      table(data, "people", "VIEW");
      table(data, "people_kept", "MATERIALIZED VIEW");
      values(connection, "people");
      values(connection, "people_kept");
      try (ResultSet r = data.getIndexInfo(null, "cdp_views", "people_kept", true, false)) {
        is("unique index", r.next() ? r.getString("COLUMN_NAME") + " " + r.getBoolean("NON_UNIQUE") : "none", "profile_id false");
      }
      try (ResultSet r = data.getSchemas(null, "cdp_views")) {
        is("schema", r.next(), true);
      }
    }
    System.out.println(failed == 0 ? "ok" : failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }
}
