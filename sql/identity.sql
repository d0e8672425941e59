-- identity: which identifiers are one person.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

-- A phone and a laptop: two people, as far as anybody can tell.
SELECT cdp.track('Product Viewed', anonymous_id => 'phone-1');
SELECT cdp.track('Product Viewed', anonymous_id => 'laptop-9', identifiers => '{"email": "Anna@Example.com"}');
-- She logs in on the phone with the same address: one person, called by the oldest identifier.
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'phone-1', traits => '{"email": "anna@example.com "}');
SELECT identifier_id, type, value, raw_value, profile_id FROM cdp.identifiers ORDER BY identifier_id;
-- Events follow without being moved: each belongs to the identifier of the highest priority on its message.
SELECT e.profile_id, i.type, i.value FROM cdp.events AS e JOIN cdp.identifiers AS i USING (identifier_id) ORDER BY event_id;
-- The links: each identifier with the owner of the message that carried both.
SELECT identifier_id, other_identifier_id, decision_seq FROM cdp.links ORDER BY 1, 2;
-- An id that was merged away still finds its person.
SELECT cdp.current_profile(2), cdp.current_profile(1), cdp.current_profile(99);

-- One message can join several people at once.
SELECT cdp.track('Product Viewed', identifiers => '{"email": "b@example.com"}'), cdp.track('Call', identifiers => '{"phone": "+31201234567"}');
SELECT cdp.identify(user_id => 'bob', identifiers => '{"email": "b@example.com", "phone": "0031 20 1234567"}');
SELECT cdp.lookup('email', 'b@example.com') = cdp.lookup('phone', '+31201234567') AS same;

-- Everything that names a person: traits, devices, external ids, an alias.
SELECT accepted FROM cdp.ingest('{"type": "identify", "userId": "carla", "traits": {"email": "carla@example.nl", "phone": "06-12345678"},
  "context": {"locale": "nl-NL", "device": {"id": "d-1", "advertisingId": "ad-1"},
              "externalIds": [{"id": "crm-5", "type": "crm_id", "collection": "users", "encoding": "none"}]}}');
SELECT type, value, raw_value FROM cdp.identifiers WHERE profile_id = cdp.lookup('user_id', 'carla') ORDER BY identifier_id;
SELECT cdp.alias('carla.old', 'carla');
SELECT cdp.lookup('user_id', 'carla') = cdp.lookup('user_id', 'carla.old') AS same;

-- Found in whatever spelling.
SELECT cdp.lookup('email', ' CARLA@example.NL') = cdp.lookup('phone', '+31 6 1234 5678') AS found, cdp.lookup('email', 'nobody@example.com'), cdp.lookup('email', 'no address');
SELECT type, value FROM cdp.find_profiles('carla');
SELECT type, value FROM cdp.find_profiles('Carla@Example.nl');

-- National numbers without a country on the message need a region.
SELECT cdp.alter_identifier_type('phone', default_region => 'NL');
SELECT cdp.identify(user_id => 'dirk', traits => '{"phone": "020 765 4321"}');
SELECT cdp.lookup('phone', '+31207654321') = cdp.lookup('user_id', 'dirk') AS found;

-- Normal forms.
SELECT cdp.normalize_email(' Ánna@BÜCHER.example '), cdp.normalize_phone('020 123 4567', 'NL'), cdp.normalize_phone('0031 20 123 4567'), cdp.normalize_text('  Ab-7 ');
SELECT cdp.normalize_email('anna@');
SELECT cdp.normalize_phone('12', 'NL');

SELECT * FROM cdp.verify();
