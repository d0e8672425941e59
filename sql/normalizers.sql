-- normalizers: one spelling for each value, and the values that identify nobody.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

-- E-mail: case-folded, the domain in ASCII. What a provider ignores goes only when asked.
SELECT raw, cdp.normalize_email(raw) AS email, cdp.normalize_email(raw, provider_rules => true) AS mailbox
FROM (VALUES (' Anna@Example.COM '), ('A.n.n.a+shop@googlemail.com'), ('anna.b+news@outlook.com'), ('anna+x@proton.me'),
             ('anna+x@web.de'), ('+x@gmail.com'), ('post@BÜCHER.example'), ('post@xn--bcher-kva.example'), ('info@straße.de'),
             ('Jörg@müller.de'), ('ａｎｎａ＠example.com')) AS v (raw);
SELECT cdp.normalize_email('Anna.B+shop@Gmail.com'), cdp.normalize_email('Anna.B+shop@Gmail.com', provider_rules => true);

-- Phones: E.164. A number in national form needs the region it was written in.
SELECT raw, region, cdp.normalize_phone(raw, region) AS phone
FROM (VALUES ('06-12345678', 'NL'), ('06 12 34 56 78', 'nl'), ('+31 (0)6 12345678', NULL), ('0031612345678', 'DE'), ('020 123 4567', 'NL'),
             ('0151 23456789', 'DE'), ('030/901820', 'DE'), ('+49 (0) 30 901820', NULL), ('0470 12 34 56', 'BE'), ('(212) 555-0123', 'US')) AS v (raw, region);

-- Ids: text keeps case, casefold does not.
SELECT raw, cdp.normalize_text(raw) AS text, cdp.normalize_casefold(raw) AS casefold
FROM (VALUES ('  Usr_7 '), ('Straße  5'), ('ＬＯＹ－１２'), ('Łódź')) AS v (raw);
SELECT cdp.normalize_uuid('{66EB252A-B9A4-4457-B4B8-6DD9191D397A}'), cdp.normalize_uuid('66eb252ab9a44457b4b86dd9191d397a');
SELECT cdp.normalize_sha256(upper(cdp.hash_email('anna@example.com'))) = cdp.hash_email(' Anna@EXAMPLE.com') AS same, cdp.hash_email('anna@example.com');

-- Names, for matching.
SELECT raw, cdp.normalize_name(raw) AS name
FROM (VALUES ('Jan van den Berg'), ('Berg, Jan van den'), ('Dhr. Jan v.d. Berg'), ('van der Berg, Jan'), ('JAN VD BERG'),
             ('Mevr. dr. Anneke in ''t Veld'), ('De heer Jansen'), ('Jan de Heer'), ('Daniëlle van ''t Hof-Bakker'),
             ('Prof. Dr. med. Jürgen Groß'), ('Herr Weiß'), ('Frau Müller-Lüdenscheidt'), ('Ursula von der Leyen'), ('Hans von dem Bussche'),
             ('O''Brien, Séamus'), ('Jean-Luc Lefèvre'), ('Søren Ågård'), ('Þóra Ðorvaldsdóttir'), ('Łukasz Żółć'), ('Đorđe Šašić'),
             ('John Smith, Jr.'), ('Anna Smith, Ph.D.'), ('Андрей Иванов'), ('Γιώργος'), ('山田 太郎'), ('Null')) AS v (raw);
SELECT cdp.normalize_name('Dhr. Jan v.d. Berg') = cdp.normalize_name('Berg, Jan van den') AS same;

-- Postal addresses, for matching.
SELECT raw, cdp.normalize_address(raw) AS address
FROM (VALUES ('Kerkstraat 12-A, 1234 AB Utrecht'), ('KERKSTR. 12 a 1234AB UTRECHT'), ('Prins Bernhardlaan 5 bis'), ('Marktplein 1 huis'),
             ('Keizersgracht 12-II'), ('Utrechtseweg 12-14'), ('Hauptstraße 3 b, 10115 Berlin'), ('Hauptstr. 3b; 10115 BERLIN'),
             ('Berliner Straße 7, D-50667 Köln'), ('Rue de l''Église 4'), ('Postbus 12, NL-1012 AV Amsterdam'), ('10 Downing Street'), ('12 Abbey Rd.'), ('5th Avenue')) AS v (raw);
SELECT cdp.normalize_address('Kerkstraat 12-A, 1234 AB') = cdp.normalize_address('Kerkstr. 12a 1234ab') AS same;

-- A normal form is its own normal form.
SELECT n.normalizer, n.value FROM (VALUES ('text', 'Å'), ('casefold', 'STRASSE  ß'), ('email', 'A@BÜCHER.de'), ('mailbox', 'a.b+c@googlemail.com'),
    ('phone', '+31 6 12345678'), ('uuid', '66EB252AB9A44457B4B86DD9191D397A'), ('name', 'Vd Berg, Dr. Jan'), ('address', '1234 street 5 bis')) AS n (normalizer, value),
  LATERAL (SELECT cdp_internal.normalize(n.normalizer, n.value, NULL, true) AS form) AS once
WHERE form IS DISTINCT FROM cdp_internal.normalize(n.normalizer, form, NULL, true);
SELECT cdp.normalizer_version() ~ '^icu [0-9.]+; libphonenumber [0-9.]+; cdp 2$' AS version;

-- What is refused, and why. A NULL gives NULL.
SELECT cdp.normalize_email('anna@');
SELECT cdp.normalize_email('anna.example.com', provider_rules => true);
SELECT cdp.hash_email('anna');
SELECT cdp.normalize_phone('06-12345678');
SELECT cdp.normalize_phone('06-12', 'NL');
SELECT cdp.normalize_text(E' \t ');
SELECT cdp.normalize_casefold('  ');
SELECT cdp.normalize_name('...');
SELECT cdp.normalize_address('--');
SELECT cdp.normalize_uuid('66eb252a');
SELECT cdp.normalize_sha256('anna@example.com');
SELECT cdp.normalize_name(repeat('é', 513));
SELECT cdp_internal.normalize('soundex', 'Anna', NULL, false);
SELECT cdp.normalize_email(NULL) IS NULL AND cdp.normalize_name(NULL) IS NULL AND cdp.hash_email(NULL) IS NULL AND cdp.is_junk('email', NULL) IS NULL AS all_null;

-- The values that identify nobody, raw or normalised.
SELECT type, value, cdp.is_junk(type, value)
FROM (VALUES ('user_id', ' NULL '), ('user_id', '0'), ('user_id', '[object Object]'), ('email', 'Test@test.com'), ('email', 'no-reply@shop.nl'),
             ('phone', '0000000000'), ('phone', cdp.normalize_phone('0000000000', 'US')), ('phone', '1234567890'), ('phone', '+31111111111'),
             ('loyalty_id', 'LOY-00000000'), ('advertising_id', '00000000-0000-0000-0000-000000000000'), ('hashed_email', encode(sha256(''), 'hex'))) AS v (type, value);
-- And those that may be somebody's.
SELECT type, value, cdp.is_junk(type, value)
FROM (VALUES ('user_id', '1001'), ('user_id', 'admin'), ('user_id', 'test-user-1'), ('user_id', '1234567890'), ('email', 'jennifer.null@web.de'),
             ('email', 'anna@example.com'), ('phone', '+31612345678'), ('phone', '+31611111111'), ('loyalty_id', 'LOY-00000013')) AS v (type, value)
WHERE cdp.is_junk(type, value) IS NOT NULL;
SELECT cdp.is_junk('user_id', 'undefined'), cdp.is_junk('user_id', 'anna'), cdp.is_junk('phone', '+31000000000');
SELECT value, applies_to, why FROM cdp.junk_values() WHERE applies_to = 'phone';
SELECT applies_to, count(*) FROM cdp.junk_values() GROUP BY applies_to ORDER BY applies_to;
SELECT count(*) AS without_a_reason FROM cdp.junk_values() WHERE why = '';
-- Anybody may ask: these are functions of their arguments alone.
CREATE ROLE regress_cdp_nobody;
SET ROLE regress_cdp_nobody;
SELECT cdp.normalize_name('Anna'), cdp.normalize_email('A@b.nl', true), cdp.is_junk('user_id', 'nil'), (SELECT count(*) > 50 FROM cdp.junk_values()) AS listed;
RESET ROLE;
DROP ROLE regress_cdp_nobody;
