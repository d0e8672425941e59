-- computed: golden traits that fall back on computed traits. Rules in force know these by id, the draft by name.

-- Whether a rule looks at a golden trait: by name, or at all of them.
CREATE FUNCTION cdp_internal.looks_at_trait(s cdp.segments, trait text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(s.compiled #> '{outline,traits}' ? trait, false)
      OR regexp_count(concat_ws(' ', s.rule, s.per, s.query), '\mtraits\M')
         > regexp_count(concat_ws(' ', s.rule, s.per, s.query), '\mtraits\s*(->>?|\?)\s*''')
$$;
COMMENT ON FUNCTION cdp_internal.looks_at_trait(cdp.segments, text) IS 'Part of cdp_internal.refuse_trait_circle';

-- Only the default policy is stored, and so what rules see.
CREATE FUNCTION cdp_internal.refuse_trait_circle(rules jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  circle text[];
BEGIN
  WITH RECURSIVE link AS MATERIALIZED (
    SELECT l ->> 'trait' AS trait, (l ->> 'computed')::integer AS computed FROM jsonb_array_elements(rules #> '{policies,default}') AS l WHERE l ? 'computed'
  ), below AS (
    SELECT l.trait, l.computed AS segment_id FROM link AS l
    UNION
    SELECT b.trait, o.on_segment_id FROM below AS b JOIN cdp.segments AS s ON coalesce(s.replaces, s.segment_id) = b.segment_id
      JOIN cdp.segment_dependencies AS o ON o.segment_id = s.segment_id
  ), asks AS MATERIALIZED (
    SELECT DISTINCT b.trait, s.name, t.trait AS about
    FROM below AS b JOIN cdp.segments AS s ON coalesce(s.replaces, s.segment_id) = b.segment_id
    JOIN (SELECT DISTINCT l.trait FROM link AS l) AS t ON cdp_internal.looks_at_trait(s, t.trait)
  ), path AS (
    SELECT a.trait AS root, a.about AS at, ARRAY[a.trait, a.about] AS places FROM asks AS a
    UNION ALL
    SELECT p.root, a.about, p.places || a.about FROM path AS p JOIN asks AS a ON a.trait = p.at
    WHERE p.at <> p.root AND NOT a.about = ANY (p.places[2:])
  )
  SELECT ARRAY(SELECT format('trait "%s" falls back on what "%s" asks for: trait "%s"', p.places[i],
                             (SELECT min(a.name) FROM asks AS a WHERE a.trait = p.places[i] AND a.about = p.places[i + 1]), p.places[i + 1])
               FROM generate_series(1, cardinality(p.places) - 1) AS i ORDER BY i)
    INTO circle FROM path AS p WHERE p.at = p.root ORDER BY cardinality(p.places), p.places LIMIT 1;
  IF circle IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_object_definition', MESSAGE = 'a golden trait would be made of itself',
      DETAIL = array_to_string(circle, E'\n'),
      HINT = 'A computed trait that a rule of survivorship falls back on can ask for events, and for traits that do not fall back on it.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_trait_circle(jsonb) IS 'Raises the error of a trait that falls back on a computed trait which asks for it';

-- Rules of survivorship that name a computed trait: in the draft by name, in force by id.
CREATE FUNCTION cdp_internal.survivorship_of(segment integer) RETURNS TABLE (policy text, trait text, in_force boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.policy, r.trait, false FROM cdp.survivorship_rules AS r JOIN cdp.segments AS s ON s.name = r.computed AND s.kind = 'trait' AND s.replaces IS NULL
    WHERE s.segment_id = segment
  UNION
  SELECT p.key, l ->> 'trait', true FROM jsonb_each(cdp_internal.rules_in_force() -> 'policies') AS p, jsonb_array_elements(p.value) AS l
    WHERE (l ->> 'computed')::integer = segment
$$;
COMMENT ON FUNCTION cdp_internal.survivorship_of(integer) IS 'Which golden traits fall back on a computed trait';

CREATE FUNCTION cdp_internal.follow_computed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  askers text;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    UPDATE cdp.survivorship_rules AS r SET computed = new.name WHERE r.computed = old.name;
    RETURN NULL;
  END IF;
  SELECT string_agg(DISTINCT format('trait "%s" falls back on it in policy "%s"%s', o.trait, o.policy, CASE WHEN NOT o.in_force THEN ' of the draft' END), E'\n')
    INTO askers FROM cdp_internal.survivorship_of(old.segment_id) AS o
    WHERE o.in_force OR NOT EXISTS (SELECT FROM cdp_internal.survivorship_of(old.segment_id) AS f WHERE f.in_force AND (f.policy, f.trait) = (o.policy, o.trait));
  IF askers IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
      MESSAGE = format('cannot drop computed trait "%s" because rules of survivorship depend on it', old.name), DETAIL = askers,
      HINT = 'Change these first: cdp.set_survivorship or cdp.drop_survivorship, then cdp.apply_survivorship().';
  END IF;
  RETURN old;
END $$;
COMMENT ON FUNCTION cdp_internal.follow_computed() IS 'Tells rules of survivorship that a computed trait has another name; refuses that it ends while they ask for it';
CREATE TRIGGER survivorship_renamed AFTER UPDATE OF name ON cdp.segments FOR EACH ROW
  WHEN (old.name <> new.name AND old.replaces IS NULL AND old.kind = 'trait') EXECUTE FUNCTION cdp_internal.follow_computed();
CREATE TRIGGER survivorship_dropped BEFORE DELETE ON cdp.segments FOR EACH ROW
  WHEN (old.replaces IS NULL AND old.kind = 'trait') EXECUTE FUNCTION cdp_internal.follow_computed();

-- A rule that asks for something else now may close a circle.
CREATE FUNCTION cdp_internal.check_trait_circles() RETURNS void
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.refuse_trait_circle(r.rules)
  FROM (SELECT cdp_internal.rules_in_force() AS rules UNION ALL SELECT cdp_internal.drafted_rules()) AS r
  WHERE r.rules #> '{policies,default}' @> '[{"strategy": "computed"}]'
$$;
COMMENT ON FUNCTION cdp_internal.check_trait_circles() IS 'Part of defining segments and computed traits';

-- What a computed trait is was changed for these people by other means than a message about them (null: for any): whoever's golden
-- traits follow it waits to be folded anew.
CREATE FUNCTION cdp_internal.refold_followers(segment integer, people bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  followed integer[];
BEGIN
  IF NOT cdp_internal.rules_in_force() #> '{policies,default}' @> '[{"strategy": "computed"}]' THEN
    RETURN;
  END IF;
  WITH RECURSIVE above AS (
    SELECT refold_followers.segment AS segment_id
    UNION
    SELECT coalesce(s.replaces, s.segment_id) FROM above AS a JOIN cdp.segment_dependencies AS o ON o.on_segment_id = a.segment_id
      JOIN cdp.segments AS s ON s.segment_id = o.segment_id
  )
  SELECT array_agg(DISTINCT a.segment_id) INTO followed FROM above AS a
    WHERE EXISTS (SELECT FROM jsonb_array_elements(cdp_internal.rules_in_force() #> '{policies,default}') AS l WHERE (l ->> 'computed')::integer = a.segment_id);
  IF followed IS NULL OR people = '{}' THEN
    RETURN;
  END IF;
  INSERT INTO cdp_internal.trait_lapses AS t (profile_id, lapses_at)
    SELECT p.profile_id, now() FROM cdp.profiles AS p
    WHERE CASE WHEN people IS NULL THEN p.profile_id IN (SELECT m.profile_id FROM cdp.memberships AS m WHERE m.segment_id = ANY (followed) AND m.left_at >= now())
               ELSE p.profile_id = ANY (people) END
    ORDER BY p.profile_id
    ON CONFLICT (profile_id) DO UPDATE SET lapses_at = least(t.lapses_at, excluded.lapses_at);
END $$;
COMMENT ON FUNCTION cdp_internal.refold_followers(integer, bigint[]) IS 'Queues people to be folded anew whose golden traits follow a computed trait that is another now';
