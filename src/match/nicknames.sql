-- nicknames: what people are called for short, as a table that everybody may add to.

CREATE TABLE cdp.nicknames (
  name       text NOT NULL CHECK (name <> ''),
  nickname   text NOT NULL CHECK (nickname <> ''),
  is_shipped boolean NOT NULL DEFAULT false,
  PRIMARY KEY (nickname, name)
);
COMMENT ON TABLE cdp.nicknames IS 'Given names and what people who have them are called, in the form that cdp.normalize_name gives; cdp.name_forms reads it. Add your own; those that came with cdp (is_shipped) are not dumped';
SELECT pg_catalog.pg_extension_config_dump('cdp.nicknames', 'WHERE NOT is_shipped');

INSERT INTO cdp.nicknames (name, nickname, is_shipped)
SELECT f[1], n, true FROM (SELECT string_to_array(line, ' ') AS f FROM unnest(ARRAY[
  'abigail abby gail', 'abraham abe bram', 'adrian ad', 'albert al bert', 'alexander alex sander sasha xander', 'alexandra alex sandra sasha', 'alfred al fred',
  'anastasia nastassia stacy', 'andrew andy drew', 'angela angie', 'ann annie nan', 'anna anneke annie anouk', 'anthony tony', 'antonius anton toon twan', 'arnold arnie', 'arthur art',
  'barbara babs barb', 'benjamin ben benny', 'bernard bernie', 'catharina carin kaat toos trijn', 'catherine cathy kate katie kitty', 'charles charlie chuck', 'christian chris',
  'christina chris tina', 'christopher chris kit', 'cornelis cees cor kees', 'cornelia cora corrie', 'daniel dan danny daan', 'david dave', 'deborah deb debbie', 'dennis denny',
  'dirk dick', 'donald don', 'dorothy dot dottie', 'edward ed eddie ned ted', 'eleanor ellie nell nora', 'elisabeth bep betje els liesbeth lies', 'elizabeth bess beth betty eliza liz lizzie',
  'ellen nell', 'emily em', 'eugene gene', 'ferdinand ferdi', 'florence flo', 'frances fanny fran', 'francis frank', 'franciscus frans', 'frederick fred freddy', 'gabriel gabe', 'george georgie',
  'gerald gerry', 'gerardus gerard geert', 'gregory greg', 'harold harry hal', 'helena helen leen lena', 'hendrik hein henk', 'henry hal hank harry', 'howard howie', 'hubertus bert huib',
  'isaac ike', 'isabella bella izzy', 'jacob jake jaap', 'jacobus co jaap koos', 'james jamie jim jimmy', 'jane janie', 'janet jan', 'jeffrey jeff', 'jennifer jen jenny', 'jessica jess',
  'johanna anneke hanneke hanna jo', 'johannes hannes hans jan johan', 'john jack johnny', 'jonathan jon', 'joseph joe joey', 'josephine jo josie', 'joshua josh', 'judith judy', 'katherine kate kathy katie kit',
  'kenneth ken', 'kimberly kim', 'laurence larry', 'lawrence larry', 'leonard len leo', 'leslie les', 'lillian lily', 'louis lou', 'lucille lucy', 'magdalena lena maggie', 'margaret greta maggie meg peg peggie peggy rita',
  'margaretha greet greetje griet', 'maria marie marijke mieke mies ria', 'martha marty', 'martin marty', 'mary mamie molly polly', 'matthew matt', 'maximilian max', 'melissa missy', 'michael mick mickey mike',
  'mildred millie', 'mohammed mhd mo mohamed muhammed', 'morris morrie', 'nathaniel nat nate', 'nicholas nick', 'nicolaas klaas nico', 'oliver ollie', 'pamela pam', 'patricia pat patty tricia trish', 'patrick paddy pat',
  'peter pete', 'petrus peter piet', 'philip phil', 'rachel rae', 'raymond ray', 'rebecca becky', 'reginald reg', 'richard dick rich rick', 'robert bob bobby rob robbie bert', 'roderick rod', 'ronald ron', 'rosemary rose rosie',
  'samuel sam', 'samantha sam', 'sarah sadie sally', 'sebastian bas seb', 'sophia sophie', 'stephanie steph', 'stephen steve', 'steven steve', 'susan sue susie suzy', 'susanna sanne sue susan', 'theodore ted theo',
  'theresa terry tess', 'thomas tom tommy', 'timothy tim', 'valerie val', 'victoria vicky', 'vincent vince', 'virginia ginny', 'walter walt', 'wilhelmina mien mina willemien', 'willem pim wim', 'william bill billy liam will', 'zachary zach'
  ]) AS line) AS s, unnest(f[2:]) AS n;

-- Called for every record, it would pay for a setting each time; its one statement is spelt out in full.
CREATE FUNCTION cdp_internal.listed_name_forms(given_name text) RETURNS text
  LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'cdp_listed_name_forms';
COMMENT ON FUNCTION cdp_internal.listed_name_forms(text) IS 'What cdp.name_forms gives, each with U+001F behind it';

CREATE FUNCTION cdp.name_forms(given_name text) RETURNS text[]
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
RETURN string_to_array(rtrim(cdp_internal.listed_name_forms(given_name), chr(31)), chr(31));
COMMENT ON FUNCTION cdp.name_forms(text) IS
  'A given name in its normal form, its first word, and the names that cdp.nicknames says it stands for: two people''s forms have one in common (list_has_any) when one may be called what the other is. NULL for what is no name';
