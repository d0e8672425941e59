-- match: who is the same person though they share no identifier. A matcher is comparisons with ordered levels, and rules
-- that say which pairs of records are looked at.

CREATE TABLE cdp.matchers (
  name             text PRIMARY KEY,
  link_type        text NOT NULL DEFAULT 'dedupe_only' CHECK (link_type IN ('dedupe_only', 'link_only', 'link_and_dedupe')),
  id_column        text NOT NULL,
  source_column    text,
  prior            double precision NOT NULL CHECK (prior > 0 AND prior < 1),
  recall           double precision NOT NULL CHECK (recall > 0 AND recall <= 1),
  em_convergence   double precision NOT NULL CHECK (em_convergence > 0 AND em_convergence <= 1),
  max_iterations   integer NOT NULL CHECK (max_iterations > 0),
  pairs_per_record double precision CHECK (pairs_per_record > 0 AND pairs_per_record < 'NaN'),
  total_pairs_per_record double precision CHECK (total_pairs_per_record > 0 AND total_pairs_per_record < 'NaN'),
  settings         jsonb NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  trained_at       timestamptz,
  records          bigint,
  drawn_pairs      bigint,
  CHECK (link_type = 'dedupe_only' OR source_column IS NOT NULL)
);
COMMENT ON TABLE cdp.matchers IS 'Matchers: models of who is the same person, made by cdp.create_matcher';
COMMENT ON COLUMN cdp.matchers.prior IS 'The probability that two records drawn at random are one person''s';
COMMENT ON COLUMN cdp.matchers.recall IS 'The share of the matches that the deterministic rules find, as far as is known';
COMMENT ON COLUMN cdp.matchers.pairs_per_record IS 'A blocking rule that gives more pairs than this for each record is left out; null: none is';
COMMENT ON COLUMN cdp.matchers.total_pairs_per_record IS
  'Rules are taken, those with the fewest pairs first, while together they give at most this for each record, or ten million in all if that is more; null: all are';
COMMENT ON COLUMN cdp.matchers.settings IS 'What the settings said that is not in other tables, for cdp.export_matcher';
COMMENT ON COLUMN cdp.matchers.records IS 'How many records it was trained on';
COMMENT ON COLUMN cdp.matchers.drawn_pairs IS 'How many pairs were drawn at random for u';
SELECT pg_catalog.pg_extension_config_dump('cdp.matchers', '');

CREATE TABLE cdp.matcher_comparisons (
  matcher     text NOT NULL REFERENCES cdp.matchers ON UPDATE CASCADE ON DELETE CASCADE,
  comparison  integer NOT NULL,
  name        text NOT NULL,
  description text,
  PRIMARY KEY (matcher, comparison),
  UNIQUE (matcher, name)
);
COMMENT ON TABLE cdp.matcher_comparisons IS 'What of two records is compared';
SELECT pg_catalog.pg_extension_config_dump('cdp.matcher_comparisons', '');

CREATE TABLE cdp.matcher_levels (
  matcher       text NOT NULL,
  comparison    integer NOT NULL,
  level         integer NOT NULL,
  label         text NOT NULL,
  condition     text NOT NULL,
  is_null_level boolean NOT NULL,
  m             double precision CHECK (m BETWEEN 0 AND 1),
  u             double precision CHECK (u BETWEEN 0 AND 1),
  fix_m         boolean NOT NULL,
  fix_u         boolean NOT NULL,
  tf_column     text,
  tf_weight     double precision NOT NULL CHECK (tf_weight BETWEEN 0 AND 100),
  tf_minimum_u  double precision NOT NULL CHECK (tf_minimum_u BETWEEN 0 AND 1),
  tf_own_u      boolean NOT NULL,
  PRIMARY KEY (matcher, comparison, level),
  FOREIGN KEY (matcher, comparison) REFERENCES cdp.matcher_comparisons ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE cdp.matcher_levels IS 'How alike two records are in a comparison: the first level whose condition holds';
COMMENT ON COLUMN cdp.matcher_levels.m IS 'The probability of the level among records of one person; null: not trained, Splink''s default holds';
COMMENT ON COLUMN cdp.matcher_levels.u IS 'The probability of the level among records of two people; null: not trained';
COMMENT ON COLUMN cdp.matcher_levels.tf_column IS 'Weights are adjusted for how frequent the value of this column is';
COMMENT ON COLUMN cdp.matcher_levels.tf_own_u IS 'The frequency stands against this level''s u, not that of the level where the column is equal';
SELECT pg_catalog.pg_extension_config_dump('cdp.matcher_levels', '');

CREATE TABLE cdp.matcher_rules (
  matcher text NOT NULL REFERENCES cdp.matchers ON UPDATE CASCADE ON DELETE CASCADE,
  purpose text NOT NULL CHECK (purpose IN ('blocking', 'training', 'deterministic')),
  number  integer NOT NULL,
  rule    text NOT NULL,
  PRIMARY KEY (matcher, purpose, number)
);
COMMENT ON TABLE cdp.matcher_rules IS 'Which pairs are looked at (blocking), by which m is trained (training), and which are matches for sure (deterministic, for the prior)';
SELECT pg_catalog.pg_extension_config_dump('cdp.matcher_rules', '');

CREATE TABLE cdp.matcher_sessions (
  matcher    text NOT NULL REFERENCES cdp.matchers ON UPDATE CASCADE ON DELETE CASCADE,
  session    integer NOT NULL,
  rule       text NOT NULL,
  pairs      bigint NOT NULL,
  iterations integer NOT NULL,
  converged  boolean NOT NULL,
  change     double precision NOT NULL,
  lambda     double precision NOT NULL,
  PRIMARY KEY (matcher, session)
);
COMMENT ON TABLE cdp.matcher_sessions IS 'The last training of a matcher: expectation and maximisation over the pairs of each training rule';
COMMENT ON COLUMN cdp.matcher_sessions.change IS 'The largest change of a probability in the last iteration';
COMMENT ON COLUMN cdp.matcher_sessions.lambda IS 'The share of matches among the pairs of the rule';
SELECT pg_catalog.pg_extension_config_dump('cdp.matcher_sessions', '');

CREATE TABLE cdp.matcher_session_values (
  matcher    text NOT NULL,
  session    integer NOT NULL,
  comparison integer NOT NULL,
  level      integer NOT NULL,
  m          double precision NOT NULL,
  PRIMARY KEY (matcher, session, comparison, level),
  FOREIGN KEY (matcher, session) REFERENCES cdp.matcher_sessions ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE cdp.matcher_session_values IS 'What each session of a training found for m; a matcher takes the median';
SELECT pg_catalog.pg_extension_config_dump('cdp.matcher_session_values', '');

CREATE VIEW cdp.matcher_parameters WITH (security_invoker = true) AS
SELECT l.matcher, c.name AS comparison, l.label, l.condition,
       CASE WHEN NOT l.is_null_level THEN
         (count(*) FILTER (WHERE NOT l.is_null_level) OVER (PARTITION BY l.matcher, l.comparison ORDER BY l.level DESC) - 1)::integer ELSE -1 END AS gamma,
       l.m, l.u,
       CASE WHEN l.m IS NOT NULL AND l.u IS NOT NULL
            THEN greatest(-100, least(100, ln(greatest(l.m, 1e-10) / greatest(l.u, 1e-10)) / ln(2::double precision))) END AS weight,
       s.sessions, s.lowest AS lowest_m, s.highest AS highest_m, l.tf_column
FROM cdp.matcher_levels AS l
JOIN cdp.matcher_comparisons AS c USING (matcher, comparison)
LEFT JOIN LATERAL (SELECT count(*)::integer AS sessions, min(v.m) AS lowest, max(v.m) AS highest FROM cdp.matcher_session_values AS v
                   WHERE (v.matcher, v.comparison, v.level) = (l.matcher, l.comparison, l.level) HAVING count(*) > 0) AS s ON true
ORDER BY l.matcher, l.comparison, l.level;
COMMENT ON VIEW cdp.matcher_parameters IS 'The match weights of matchers: of each level m, u, log2(m/u), and what training sessions found';

CREATE FUNCTION cdp_internal.check_matcher(matcher text) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_check_matcher';
COMMENT ON FUNCTION cdp_internal.check_matcher(text) IS 'Throws what is wrong with the conditions and rules of a matcher';

CREATE FUNCTION cdp_internal.add_matcher_rules(matcher text, purpose text, rules jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp.matcher_rules (matcher, purpose, number, rule)
  SELECT matcher, purpose, r.number, CASE jsonb_typeof(r.rule) WHEN 'object' THEN r.rule ->> 'blocking_rule' ELSE r.rule #>> '{}' END
  FROM jsonb_array_elements(coalesce(nullif(rules, 'null'), '[]')) WITH ORDINALITY AS r (rule, number)
$$;
COMMENT ON FUNCTION cdp_internal.add_matcher_rules(text, text, jsonb) IS 'Part of cdp.create_matcher';

-- What Splink says of a probability: a number, or that the level was not observed.
CREATE FUNCTION cdp_internal.trained_probability(value jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN CASE jsonb_typeof(value) WHEN 'number' THEN (value #>> '{}')::double precision WHEN 'string' THEN 1e-6 END;
COMMENT ON FUNCTION cdp_internal.trained_probability(jsonb) IS 'Part of cdp.create_matcher';

CREATE FUNCTION cdp.create_matcher(name text, settings jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  unknown text;
BEGIN
  IF coalesce(name, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a matcher needs a name';
  END IF;
  IF EXISTS (SELECT FROM cdp.matchers AS o WHERE o.name = create_matcher.name) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('there is a matcher "%s" already', name),
      HINT = format('SELECT cdp.drop_matcher(%L) drops it.', name);
  END IF;
  IF jsonb_typeof(settings -> 'comparisons') IS DISTINCT FROM 'array' OR jsonb_array_length(settings -> 'comparisons') = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the settings of a matcher need comparisons, an array',
      HINT = 'cdp.people_matcher makes settings from names of columns; a model saved by Splink does as well.';
  END IF;
  IF jsonb_path_exists(settings, '$.comparisons[*] ? (@.type() != "object" || !(exists (@.comparison_levels[0])) || @.comparison_levels.type() != "array" || exists (@.comparison_levels[*] ? (@.type() != "object")))') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'each comparison has comparison_levels, an array of objects';
  END IF;
  SELECT string_agg(format('%s is %s', k.key, settings -> k.key), ', ' ORDER BY k.key) INTO unknown
  FROM unnest('{blocking_rules_to_generate_predictions,training_rules,deterministic_rules}'::text[]) AS k (key)
  WHERE jsonb_typeof(settings -> k.key) NOT IN ('array', 'null')
     OR jsonb_typeof(settings -> k.key) = 'array' AND jsonb_path_exists(settings -> k.key, '$[*] ? (@.type() != "string" && !(@.type() == "object" && @.blocking_rule.type() == "string"))');
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'rules are an array of texts, or of objects with a blocking_rule', DETAIL = format('In the settings %s.', unknown);
  END IF;
  SELECT string_agg(k.key, ', ' ORDER BY k.key) INTO unknown
  FROM jsonb_array_elements(settings -> 'comparisons') AS c (o), jsonb_array_elements(c.o -> 'comparison_levels') AS l (o), jsonb_object_keys(l.o) AS k (key)
  WHERE k.key NOT IN ('sql_condition', 'label_for_charts', 'is_null_level', 'm_probability', 'u_probability', 'fix_m_probability', 'fix_u_probability',
                      'tf_adjustment_column', 'tf_adjustment_weight', 'tf_minimum_u_value', 'disable_tf_exact_match_detection');
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('a level says something that is not known: %s', unknown);
  END IF;
  IF EXISTS (SELECT FROM jsonb_array_elements(settings -> 'blocking_rules_to_generate_predictions') AS r (o)
             WHERE jsonb_typeof(r.o) = 'object' AND jsonb_array_length(coalesce(nullif(r.o -> 'arrays_to_explode', 'null'), '[]')) > 0) THEN
    RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'blocking rules with arrays_to_explode are not supported';
  END IF;
  IF settings ? 'unique_columns' AND (jsonb_typeof(settings -> 'unique_columns') <> 'array' OR jsonb_path_exists(settings, '$.unique_columns[*] ? (@.type() != "string")')) THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'unique_columns is an array of names of columns', DETAIL = format('It is %s.', settings -> 'unique_columns');
  END IF;
  INSERT INTO cdp.matchers (name, link_type, id_column, source_column, prior, recall, em_convergence, max_iterations, pairs_per_record, total_pairs_per_record, settings)
  VALUES (name, coalesce(settings ->> 'link_type', 'dedupe_only'), coalesce(settings ->> 'unique_id_column_name', 'unique_id'),
          CASE WHEN coalesce(settings ->> 'link_type', 'dedupe_only') <> 'dedupe_only' THEN coalesce(settings ->> 'source_dataset_column_name', 'source_dataset') END,
          coalesce((settings ->> 'probability_two_random_records_match')::double precision, 0.0001), coalesce((settings ->> 'recall')::double precision, 1),
          coalesce((settings ->> 'em_convergence')::double precision, 0.0001), coalesce((settings ->> 'max_iterations')::integer, 25),
          (settings ->> 'pairs_per_record')::double precision, (settings ->> 'total_pairs_per_record')::double precision,
          settings - ARRAY['comparisons', 'blocking_rules_to_generate_predictions', 'training_rules', 'deterministic_rules',
                           'probability_two_random_records_match', 'recall', 'em_convergence', 'max_iterations', 'pairs_per_record', 'total_pairs_per_record']);
  INSERT INTO cdp.matcher_comparisons (matcher, comparison, name, description)
  SELECT create_matcher.name, c.number, coalesce(c.o ->> 'output_column_name', 'comparison ' || c.number), c.o ->> 'comparison_description'
  FROM jsonb_array_elements(settings -> 'comparisons') WITH ORDINALITY AS c (o, number);
  INSERT INTO cdp.matcher_levels (matcher, comparison, level, label, condition, is_null_level, m, u, fix_m, fix_u, tf_column, tf_weight, tf_minimum_u, tf_own_u)
  SELECT create_matcher.name, c.number, l.number, coalesce(l.o ->> 'label_for_charts', l.o ->> 'sql_condition'), l.o ->> 'sql_condition',
         coalesce((l.o ->> 'is_null_level')::boolean, false), cdp_internal.trained_probability(l.o -> 'm_probability'),
         cdp_internal.trained_probability(l.o -> 'u_probability'), coalesce((l.o ->> 'fix_m_probability')::boolean, false),
         coalesce((l.o ->> 'fix_u_probability')::boolean, false), btrim(l.o ->> 'tf_adjustment_column', '"`'),
         coalesce((l.o ->> 'tf_adjustment_weight')::double precision, 1), coalesce((l.o ->> 'tf_minimum_u_value')::double precision, 0),
         coalesce((l.o ->> 'disable_tf_exact_match_detection')::boolean, false)
  FROM jsonb_array_elements(settings -> 'comparisons') WITH ORDINALITY AS c (o, number),
       jsonb_array_elements(c.o -> 'comparison_levels') WITH ORDINALITY AS l (o, number);
  PERFORM cdp_internal.add_matcher_rules(name, 'blocking', settings -> 'blocking_rules_to_generate_predictions'),
          cdp_internal.add_matcher_rules(name, 'training', settings -> 'training_rules'),
          cdp_internal.add_matcher_rules(name, 'deterministic', settings -> 'deterministic_rules');
  PERFORM cdp_internal.check_matcher(name);
END $$;
COMMENT ON FUNCTION cdp.create_matcher(text, jsonb) IS
  'Makes a matcher from settings as Splink saves them (levels and rules in DuckDB''s SQL), with training_rules, deterministic_rules, recall, pairs_per_record and unique_columns (of which nobody has two values) if you like; see cdp.people_matcher. Errors: 22023 for a condition that is not understood, with its place, 42710 for a name that is taken';

CREATE FUNCTION cdp.drop_matcher(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM cdp.followed_matchers AS f WHERE f.matcher = drop_matcher.name) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = format('matcher "%s" follows a table', name), HINT = format('SELECT cdp.unfollow_matches(%L) ends that.', name);
  END IF;
  IF EXISTS (SELECT FROM cdp.matches AS o WHERE o.matcher = drop_matcher.name) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = format('cdp.matches holds what matcher "%s" found', name),
      HINT = 'Delete these rows first; while links were made of some (linked_seq), cdp.reject_match and cdp.link_matches take these back.';
  END IF;
  DELETE FROM cdp.matchers AS m WHERE m.name = drop_matcher.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no matcher "%s"', name),
      HINT = 'SELECT name FROM cdp.matchers shows those there are.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp.drop_matcher(text) IS 'Drops a matcher and what it learnt. Errors: 42704 when there is none, 55006 while it follows a table, or cdp.matches holds what it found';

CREATE FUNCTION cdp.export_matcher(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  o cdp.matchers := (SELECT m FROM cdp.matchers AS m WHERE m.name = export_matcher.name);
BEGIN
  IF o.name IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no matcher "%s"', name),
      HINT = 'SELECT name FROM cdp.matchers shows those there are.';
  END IF;
  RETURN jsonb_build_object('sql_dialect', 'duckdb', 'link_type', o.link_type, 'unique_id_column_name', o.id_column) || o.settings
    || jsonb_strip_nulls(jsonb_build_object(
         'source_dataset_column_name', o.source_column, 'probability_two_random_records_match', o.prior, 'recall', nullif(o.recall, 1),
         'em_convergence', o.em_convergence, 'max_iterations', o.max_iterations, 'pairs_per_record', o.pairs_per_record, 'total_pairs_per_record', o.total_pairs_per_record,
         'training_rules', (SELECT jsonb_agg(r.rule ORDER BY r.number) FROM cdp.matcher_rules AS r WHERE r.matcher = o.name AND r.purpose = 'training'),
         'deterministic_rules', (SELECT jsonb_agg(r.rule ORDER BY r.number) FROM cdp.matcher_rules AS r WHERE r.matcher = o.name AND r.purpose = 'deterministic'),
         'blocking_rules_to_generate_predictions', coalesce((
            SELECT jsonb_agg(jsonb_build_object('blocking_rule', r.rule, 'sql_dialect', 'duckdb') ORDER BY r.number)
            FROM cdp.matcher_rules AS r WHERE r.matcher = o.name AND r.purpose = 'blocking'), '[]'),
         'comparisons', (
            SELECT jsonb_agg(jsonb_build_object('output_column_name', c.name, 'comparison_description', c.description, 'comparison_levels', (
                SELECT jsonb_agg(jsonb_build_object('sql_condition', l.condition, 'label_for_charts', l.label, 'is_null_level', nullif(l.is_null_level, false),
                         'm_probability', l.m, 'u_probability', l.u, 'fix_m_probability', nullif(l.fix_m, false), 'fix_u_probability', nullif(l.fix_u, false),
                         'tf_adjustment_column', l.tf_column, 'tf_adjustment_weight', CASE WHEN l.tf_column IS NOT NULL THEN l.tf_weight END,
                         'tf_minimum_u_value', nullif(l.tf_minimum_u, 0), 'disable_tf_exact_match_detection', nullif(l.tf_own_u, false)) ORDER BY l.level)
                FROM cdp.matcher_levels AS l WHERE (l.matcher, l.comparison) = (c.matcher, c.comparison))) ORDER BY c.comparison)
            FROM cdp.matcher_comparisons AS c WHERE c.matcher = o.name)));
END $$;
COMMENT ON FUNCTION cdp.export_matcher(text) IS
  'The settings of a matcher, with what it learnt, as Splink reads them; cdp.create_matcher makes the same matcher of them. Errors: 42704 when there is none';

CREATE FUNCTION cdp_internal.train_matcher(matcher text, records regclass, max_pairs bigint, seed bigint, refine boolean) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_train_matcher';
COMMENT ON FUNCTION cdp_internal.train_matcher(text, regclass, bigint, bigint, boolean) IS 'Part of cdp.train_matcher';

CREATE FUNCTION cdp.train_matcher(matcher text, records regclass, max_pairs bigint DEFAULT 1000000, seed bigint DEFAULT 1, refine boolean DEFAULT true)
  RETURNS TABLE (rule text, pairs bigint, iterations integer, converged boolean, lambda double precision)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM cdp_internal.train_matcher(matcher, records, max_pairs, seed, refine);
  RETURN QUERY SELECT s.rule, s.pairs, s.iterations, s.converged, s.lambda FROM cdp.matcher_sessions AS s WHERE s.matcher = train_matcher.matcher ORDER BY s.session;
END $$;
COMMENT ON FUNCTION cdp.train_matcher(text, regclass, bigint, bigint, boolean) IS
  'Learns a matcher''s prior, u and m from the records of a table or view, without labels: the prior from the deterministic rules, u from at most max_pairs pairs drawn at random, m by expectation and maximisation over the pairs of each training rule, its median; refine: from the beginning, and then the prior anew from all pairs of blocking, and u without the matches among the drawn pairs: the same for the same records and seed; without refine it goes on from the m there is, as Splink does. Errors: 42704 unknown matcher, 55000 without training rules or without two records, 23505 an id twice. Source: Fellegi and Sunter (1969), Winkler (1988), Enamorado, Fifield and Imai (2019), Splink';

CREATE FUNCTION cdp.blocking_analysis(matcher text, records regclass)
  RETURNS TABLE (purpose text, number integer, rule text, pairs bigint, largest_block bigint, members bigint, value text, used boolean) LANGUAGE c STABLE STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_blocking_analysis';
COMMENT ON FUNCTION cdp.blocking_analysis(text, regclass) IS
  'How many pairs each rule of a matcher gives, in the largest block and in all, before any is made: how many records have that block''s key, and what it is; used: false when the rule gives more than the matcher''s pairs_per_record, or all together more than its total_pairs_per_record. Further conditions of a rule, and other rules that give the same pair, do not count. Errors: 42704 unknown matcher';

CREATE FUNCTION cdp.score_pairs(matcher text, records regclass, threshold double precision DEFAULT 0.9, max_pairs bigint DEFAULT 200000000, levels boolean DEFAULT false)
  RETURNS TABLE (id_l text, id_r text, source_l text, source_r text, match_weight double precision, match_probability double precision, match_key integer, gammas smallint[])
  LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_score_pairs';
COMMENT ON FUNCTION cdp.score_pairs(text, regclass, double precision, bigint, boolean) IS
  'The pairs of a matcher''s blocking rules, each once, that are one person with at least the probability threshold: weight (log2 of the odds), probability, the first rule that gives the pair (from 0), and with levels the level of each comparison (-1 unknown). Errors: 42704 unknown matcher, 54000 when the rules give more than max_pairs, before any is made. Source: Fellegi and Sunter (1969), Splink';

CREATE FUNCTION cdp_internal.measure_scoring(matcher text, records regclass)
  RETURNS TABLE (records bigint, pairs bigint, read_s double precision, keys_s double precision, pairs_s double precision, score_s double precision, sum_of_weights double precision)
  LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_measure_scoring';
COMMENT ON FUNCTION cdp_internal.measure_scoring(text, regclass) IS 'For benchmarks: the seconds of the processor, of all threads, for each phase of cdp.score_pairs; pairs are made twice, to tell what that costs, and none is given';

CREATE FUNCTION cdp.cluster_pairs(pairs regclass, threshold double precision DEFAULT 0.5, method text DEFAULT 'cohesive', single_sources text[] DEFAULT '{}')
  RETURNS TABLE (id text, source text, cluster_id text, cluster_source text) LANGUAGE c STABLE STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_cluster_pairs';
COMMENT ON FUNCTION cdp.cluster_pairs(regclass, double precision, text, text[]) IS
  'Who belongs together, from a table or view of pairs as cdp.score_pairs gives them; a cluster is named by its first record. Methods: connected (whatever is linked by pairs of at least the threshold), best_links (the strongest first, and never two records of one of single_sources together), cohesive (groups are joined only while all pairs across them speak for it on average, unknown ones against it: give it all pairs, also those below the threshold). Errors: 22023 for an unknown method or a threshold that is none';
