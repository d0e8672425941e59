-- Installing and removing cdp.
\set SHOW_CONTEXT never
CREATE EXTENSION cdp;
SELECT extversion FROM pg_extension WHERE extname = 'cdp';

-- Before the first message it goes as it came.
DROP EXTENSION cdp;

-- A schema that is already there is somebody else's: it is refused, not adopted.
CREATE SCHEMA cdp;
CREATE EXTENSION cdp;
DROP SCHEMA cdp;
CREATE EXTENSION cdp;

-- From the first message on, DROP EXTENSION without CASCADE is refused: nobody takes every customer along by accident.
SELECT cdp.identify(user_id => 'u1');
DROP EXTENSION cdp;
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
RESET client_min_messages;
CREATE EXTENSION cdp;
SELECT count(*) FROM cdp.profiles;
