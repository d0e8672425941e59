-- Ways of doing in plain SQL what cdp does, for comparison: components of links (a, b), and one link at a time.

CREATE FUNCTION by_recursion() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- A label passes only to larger ids: the smallest of a component reaches all of it, others die on the way.
  CREATE UNLOGGED TABLE people_recursion AS
    WITH RECURSIVE step AS (SELECT a, b FROM links UNION ALL SELECT b, a FROM links),
    reached (id, label) AS (
      SELECT id, id FROM ids UNION SELECT s.b, r.label FROM reached AS r JOIN step AS s ON s.a = r.id WHERE r.label < s.b)
    SELECT id, min(label) AS component FROM reached GROUP BY id;
END $$;

CREATE FUNCTION by_labels() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  rounds integer := 0;
  changed bigint;
BEGIN
  CREATE UNLOGGED TABLE step AS SELECT a, b FROM links UNION ALL SELECT b, a FROM links;
  CREATE UNLOGGED TABLE label AS SELECT id, id AS component FROM ids;
  LOOP
    rounds := rounds + 1;
    -- The smallest label next door, then that label's own.
    CREATE UNLOGGED TABLE near AS
      SELECT l.id, least(l.component, n.component) AS component
      FROM label AS l
      LEFT JOIN (SELECT s.a AS id, min(o.component) AS component FROM step AS s JOIN label AS o ON o.id = s.b GROUP BY s.a) AS n USING (id);
    CREATE UNLOGGED TABLE jumped AS SELECT n.id, j.component FROM near AS n JOIN near AS j ON j.id = n.component;
    SELECT count(*) INTO changed FROM jumped AS j JOIN label AS l USING (id) WHERE j.component <> l.component;
    DROP TABLE label, near;
    ALTER TABLE jumped RENAME TO label;
    EXIT WHEN changed = 0;
  END LOOP;
  ALTER TABLE label RENAME TO people_labels;
  DROP TABLE step;
  RETURN rounds;
END $$;

-- One link after the other: both identifiers are found or made, and the larger component becomes the smaller.
CREATE TABLE rival (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  component bigint,
  type      text NOT NULL,
  value     text NOT NULL,
  UNIQUE (type, value)
);
CREATE INDEX ON rival (component);

CREATE FUNCTION rival_id(of_type text, of_value text, OUT id_made bigint, OUT c bigint) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO rival (type, value) VALUES (of_type, of_value)
    ON CONFLICT (type, value) DO UPDATE SET type = EXCLUDED.type RETURNING id, component INTO id_made, c;
  IF c IS NULL THEN
    c := id_made;
    UPDATE rival SET component = id WHERE id = id_made;
  END IF;
END $$;

CREATE FUNCTION rival_link(types text[], vals text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  one record;
  other record;
BEGIN
  FOR i IN 2 .. array_length(types, 1) LOOP
    SELECT * INTO one FROM rival_id(types[1], vals[1]);
    SELECT * INTO other FROM rival_id(types[i], vals[i]);
    IF one.c <> other.c THEN
      UPDATE rival SET component = least(one.c, other.c) WHERE component = greatest(one.c, other.c);
    END IF;
  END LOOP;
END $$;
