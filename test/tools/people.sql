-- A profile view with a column of every kind, as a view and materialized, for the tests of drivers.
CREATE EXTENSION cdp;
SELECT cdp.identify(user_id => 'anna', traits => '{"name": "Anna", "email": "anna@example.com", "country": "NL", "age": 41, "born": "1985-02-03", "tags": ["a", "b"]}'),
       cdp.identify(user_id => 'bert', traits => '{"name": "Bert ✓", "country": "Belgium", "age": "old"}'),
       cdp.track('Order Completed', user_id => 'anna', properties => '{"total": 120.505}'),
       cdp.create_computed_trait('total_spend', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')$$),
       cdp.create_computed_trait('orders', $$count(*) FILTER (WHERE event = 'Order Completed')$$),
       cdp.create_segment('vip', $$(computed ->> 'total_spend')::numeric > 100$$);
SELECT cdp.create_profile_view(view, '{
         "name":        {"source": "trait name", "description": "What we call them"},
         "email":       "identifier email",
         "country":     "trait country varchar(2)",
         "age":         "trait age integer",
         "born":        "trait born date",
         "total_spend": "computed total_spend numeric(12,2)",
         "orders":      "computed orders",
         "vip":         "segment vip",
         "vip_since":   "segment vip since",
         "tags":        "trait tags text[]",
         "public_id":   "public_id"
       }', materialized => view = 'people_kept', description => 'Our customers')
FROM unnest(ARRAY['people', 'people_kept']) AS view;
