-- What tools that ask information_schema see. It knows no materialized views: docs/bi.md says what to do about that.
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'cdp_views' ORDER BY 1;
CREATE SCHEMA reporting;
CREATE VIEW reporting.people AS TABLE cdp_views.people_kept;
SELECT table_schema, column_name, data_type, is_nullable, character_maximum_length AS length, numeric_precision AS precision, numeric_scale AS scale, datetime_precision AS seconds
FROM information_schema.columns WHERE table_name = 'people' AND table_schema IN ('cdp_views', 'reporting') ORDER BY table_schema, ordinal_position;
SET client_min_messages = warning;
DROP SCHEMA reporting CASCADE;
