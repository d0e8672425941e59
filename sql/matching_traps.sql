-- A table of traps: records of people and companies that were made by hand to mislead (fathers and sons, twins, shared telephones, changed names, other
-- scripts), from records to profiles, and back by split. Data: Senzing truth-sets, demo (github.com/Senzing/truth-sets, Apache-2.0): customers, reference
-- and watchlist, 159 records of 85 people and companies; here without what nothing below looks at.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
CREATE TABLE traps_raw (trap integer, entity integer, source text, record text, kind text, given text, family text, full_name text, company text, gender text, born text,
  address text, phone text, email text, passport text, ssn text, licence text, national_id text, tax_id text);
COPY traps_raw FROM stdin;
100	1001	customers	1001	P	Robert	Smith	\N	\N	\N	12/11/1978	123 Main Street, Las Vegas NV 89132	702-919-1300	\N	\N	\N	\N	\N	\N
100	1001	customers	1002	P	Bob	Smith	\N	\N	\N	11/12/1978	1515 Adela Lane Las Vegas NV 89111	702-919-1300	\N	\N	\N	\N	\N	\N
100	1001	customers	1003	P	Bob J	Smith	\N	\N	\N	12/11/1978	\N	\N	bsmith@work.com	\N	\N	\N	\N	\N
100	1001	customers	1004	P	B	Smith	\N	\N	\N	11/12/1979	1515 Adela Ln Las Vegas NV 89132	\N	bsmith@work.com	\N	\N	\N	\N	\N
100	1002	customers	1005	P	Robbie	Smith	\N	\N	\N	\N	123 E Main St Henderson NV 89132	\N	\N	\N	\N	112233	\N	\N
102	1021	customers	1009	P	Edward	Kusha	\N	\N	\N	3/1/1970	1304 Poppy Hills Dr Blacklick OH 43004	\N	Kusha123@hmail.com	\N	294-66-9999	\N	\N	\N
102	1021	customers	1010	P	Eddie	Kusha	\N	\N	\N	Mar 1 1970	1304 Poppy Hills Dr Blacklick OHIO	\N	\N	\N	\N	\N	\N	\N
102	1021	customers	1011	P	Ed	Knight	\N	\N	\N	3/1/70	1602 Brenville Pl San Francisco CA 94105	\N	\N	\N	\N	\N	\N	\N
102	1023	customers	1015	P	Mary	Kusha	\N	\N	\N	10/27/76	1304 Poppy Hills Dr Blacklick OH 43004	512-353-8633	Kusha123@hmail.com	\N	293-90-9090	\N	\N	\N
102	1023	customers	1016	P	Marie	Kusha	\N	\N	\N	10/27/76	1304 Poppy Hills Dr 43004	\N	\N	\N	\N	\N	\N	\N
102	1023	customers	1017	P	Mary	Kusha	\N	\N	\N	\N	\N	\N	\N	\N	293-90-9090	\N	\N	\N
102	1023	customers	1018	P	Marie	Kusha	\N	\N	\N	10/28/76	\N	512-353-8633	\N	\N	\N	\N	\N	\N
102	1024	customers	1019	P	Mark	Kusha	\N	\N	\N	9/28/97	1304 Poppy Hills Dr Blacklick OH 43004	\N	Kusha123@hmail.com	\N	\N	\N	\N	\N
102	1025	customers	1020	P	Marsha	Kusha	\N	\N	\N	9/28/97	1304 Poppy Hills Dr Blacklick OH 43004	\N	Kusha123@hmail.com	\N	201-77-7719	\N	\N	\N
103	1031	customers	1022	P	Mohamed	Antoun	\N	\N	\N	1/7/80	\N	\N	\N	\N	\N	\N	\N	\N
103	1031	customers	1023	P	Muhammed	Antoun	\N	\N	\N	1/7/80	\N	\N	\N	\N	\N	\N	\N	\N
103	1032	customers	1025	P	Darla	Anderson	\N	\N	\N	1/7/80	\N	\N	\N	\N	\N	\N	\N	\N
103	1033	customers	1026	P	Darlene	Anderson	\N	\N	\N	1/7/80	\N	\N	\N	\N	\N	\N	\N	\N
104	1041	customers	1028	P	David	Dobbins Jr	\N	\N	\N	\N	1450 N City Rd Suite 900 Arlington VA 23208	\N	\N	\N	\N	\N	\N	\N
105	1051	customers	1030	P	Luis	Garski	\N	\N	\N	3/25/89	445 Overpass Rd  San Ramon  CA  927230000	\N	\N	\N	\N	\N	\N	\N
105	1051	customers	1031	P	Louis	Garsky	\N	\N	\N	3/25/89	445 Overpass Rd San Ramon	\N	\N	\N	\N	\N	\N	\N
106	1061	customers	1032	P	Daniella	Shaw	\N	\N	\N	20/8/1991	\N	202-321-3212	\N	\N	\N	\N	\N	\N
106	1061	customers	1033	P	Shaw	Daniella	\N	\N	\N	8/20/91	80 Delaware Ave SE Washington DC 40040	321-3212	\N	\N	\N	\N	\N	\N
107	1071	customers	1034	P	Maria Luis	Medina Sentosa	\N	\N	\N	11/21/73	9304 W. 15th St La Blanca, FL 60527	\N	Maria Sentosa<msentosa@fmail.com>	\N	\N	\N	\N	\N
107	1071	customers	1035	P	Maria Luis	M Sentosa	\N	\N	\N	11/12/73	9304 W. 15th St La Blanca, FL 60527	\N	\N	\N	\N	\N	\N	\N
107	1071	customers	1036	P	Maria Luis	Sentosa	\N	\N	\N	11/12/73	9304 W. 15th St La Blanca, FL 60527	\N	\N	\N	\N	\N	\N	\N
108	1081	customers	1039	P	John	Smith	\N	\N	M	10/10/70	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	\N	\N	\N	\N	\N
108	1082	customers	1040	P	John	Smith	\N	\N	\N	3/15/90	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	\N	\N	\N	\N	\N
109	1091	customers	1043	P	Patrick	Smith	\N	\N	\N	10/10/70	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	10251111	\N	\N	\N	\N
109	1092	customers	1044	P	Patricia	Smith	\N	\N	\N	3/15/90	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	10252222	\N	\N	\N	\N
109	1091	customers	1045	P	Pat	Smith	\N	\N	\N	\N	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	10251111	\N	\N	\N	\N
109	1092	customers	1046	P	Pat	Smith	\N	\N	\N	\N	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	10252222	\N	\N	\N	\N
110	1101	customers	1047	P	Zara	Thompson	\N	\N	\N	\N	\N	\N	sthomp45@fmail.com	\N	\N	\N	\N	\N
110	1101	customers	1048	P	Sarah	Tompson	\N	\N	\N	\N	\N	\N	sthomp45@fmail.com	\N	\N	\N	\N	\N
110	1101	customers	1049	P	Sahra	Thompson	\N	\N	\N	\N	\N	\N	sthomp45@fmail.com	\N	\N	\N	\N	\N
111	1111	customers	1050	P	Lee	Toulouse	\N	\N	\N	2/1/85	\N	\N	\N	483290175	\N	\N	\N	\N
111	1111	customers	1051	P	Leigh	Toulouse	\N	\N	\N	1/2/85	\N	\N	\N	483290175	\N	\N	\N	\N
111	1111	customers	1052	P	Lea	Toulouse	\N	\N	\N	\N	\N	\N	\N	483290175	\N	\N	\N	\N
112	1121	customers	1053	P	Beau	Smith	\N	\N	\N	\N	6371 E Foothill Dr, Orroville, CA	\N	\N	72129291	\N	\N	\N	\N
112	1122	customers	1054	P	Magdalena	Smith	\N	\N	\N	24-May-11	6371 E Foothill Dr, Orroville, CA 95915	\N	\N	\N	\N	93939211	\N	\N
112	1121	customers	1055	P	Beau	\N	\N	\N	\N	\N	6371 E Foothill Dr, 95915	\N	\N	72129291	\N	\N	\N	\N
112	1122	customers	1056	P	Magdalena	Jones	\N	\N	\N	5/24/11	6371 E Foothill Dr, Orroville, CA	\N	\N	\N	\N	93939211	\N	\N
113	1131	customers	1057	P	Jay	Jones	\N	\N	\N	\N	\N	\N	jjones@jones.com	\N	\N	\N	\N	\N
113	1132	customers	1058	P	Jones	Jay	\N	\N	\N	\N	\N	\N	"Jay Jones" <jjones@fmail.com>	\N	\N	\N	\N	\N
114	1141	customers	1059	P	Ray	Roderick	\N	\N	\N	\N	\N	971-421-8250	\N	\N	\N	\N	\N	\N
114	1141	customers	1060	P	R	Roderick	\N	\N	\N	\N	\N	9714218250	\N	\N	\N	\N	\N	\N
115	1151	customers	1061	P	\N	Andreason	\N	\N	\N	\N	\N	(807) 422-9031	\N	\N	\N	\N	\N	\N
115	1151	customers	1062	P	\N	Andreason	\N	\N	\N	\N	\N	807-422-9031	\N	\N	\N	\N	\N	\N
116	1161	customers	1063	P	Susan	Mooney	\N	\N	\N	6/15/98	\N	\N	\N	\N	\N	\N	\N	\N
116	1161	customers	1064	P	Susanne	Mooney	\N	\N	\N	6/15/98	\N	\N	\N	1231345345	\N	\N	\N	\N
116	1161	customers	1065	P	Susan	Mooney	\N	\N	\N	\N	\N	\N	\N	1231345345	\N	8923322	\N	\N
116	1161	customers	1066	P	Susan	Mooney	\N	\N	\N	\N	\N	\N	\N	\N	521-21-2123	8923322	\N	\N
116	1161	customers	1067	P	Susan	Moonie	\N	\N	\N	\N	638 Downey St, Salem, OR	\N	\N	\N	521212123	\N	\N	\N
116	1161	customers	1068	P	Susan	Moony	\N	\N	\N	\N	Adventura Aparments 638 Downey St, Salem, OR	\N	\N	\N	\N	\N	\N	\N
117	1171	customers	1069	P	\N	\N	王杰	\N	M	9/14/93	12 Constitution Street	\N	\N	\N	\N	\N	832721	\N
117	1171	customers	1070	P	Jie	Wang	\N	\N	Male	9/14/93	12 Constitution Street	\N	\N	\N	\N	\N	832721	\N
117	1172	customers	1071	P	\N	\N	王伟	\N	F	9/14/97	169 3rd Ave. Camden, NJ 08030	\N	\N	\N	\N	\N	7123833	\N
117	1172	customers	1072	P	Wei	Wang	\N	\N	Female	9/14/97	169 3rd Ave. Camden, NJ 08030	\N	\N	\N	\N	\N	7123833	\N
117	1173	customers	1073	P	\N	\N	张伟	\N	M	8/2/06	173 John Lane, Camden, NJ 08030	\N	\N	\N	\N	\N	\N	\N
117	1173	customers	1074	P	Wei	Zhang	\N	\N	Male	2/8/06	173 John Lane, 08030	\N	\N	\N	\N	\N	\N	\N
117	1174	customers	1075	P	\N	\N	张秀英	\N	F	2/4/31	329 Leatherwood Street, Las Vegas, 89117	\N	\N	\N	\N	\N	\N	\N
117	1174	customers	1076	P	Xiu Ying	Zhang	\N	\N	Female	4/2/31	329 Leatherwood Street, Las Vegas, NV	\N	\N	\N	\N	\N	\N	\N
117	1175	customers	1077	P	\N	\N	刘杰	\N	F	6/25/08	37 Campfire St.	\N	\N	\N	\N	\N	\N	\N
117	1175	customers	1078	P	Jie	Liu	\N	\N	Unknown	25-Jun-08	37 Campfire St.	\N	\N	\N	\N	\N	\N	\N
118	1181	customers	1079	P	Jeffrey	Brown	\N	\N	U	6/21/82	\N	\N	\N	\N	3241	\N	\N	\N
118	1181	customers	1080	P	Geoffrey	Brown Jr	\N	\N	M	6/21/82	\N	\N	\N	\N	3241	\N	\N	\N
119	1191	customers	1081	P	George	Frankens	\N	\N	\N	15-Mar-92	Ansbacher Strasse 23, 56422 Dusseldorf 56244	\N	\N	234456456	\N	\N	\N	\N
119	1191	customers	1082	P	Georg	Frankens	\N	\N	\N	15-Mar-92	23 Ansbacher Street Dusseldorf 56244	\N	\N	234456456	\N	\N	\N	\N
120	1201	customers	1083	P	Morris	Klempski	\N	\N	\N	17-May-90	Skyline Apartments, 705 Sheppard Ave Toronto M1S 1T4	\N	\N	34543555	\N	\N	\N	\N
120	1201	customers	1084	P	Morrie	Klempsky	\N	\N	\N	17-May-90	705 Sheppard Ave Toronto M1S 1T4	\N	\N	34543555	\N	\N	\N	\N
121	1211	customers	1085	P	Ellie	D'esquire	\N	\N	\N	19-Feb-91	\N	0352 6553537	dellie@fmail.com	\N	\N	\N	\N	\N
121	1211	customers	1086	P	Ellie	Desqueir	\N	\N	\N	19-Feb-91	\N	+39 0352 6553537	dellie@fmail.com	\N	\N	\N	\N	\N
122	1221	customers	1087	P	George	Wiest	\N	\N	M	3/12/87	\N	702-221-2412	pfranks@ishmail.com	\N	\N	\N	\N	\N
122	1221	customers	1088	P	George	Weest	\N	\N	F	3/12/87	\N	221-2412	pfranks@ishmail.com	\N	\N	\N	\N	\N
123	1231	customers	1089	P	Morris I	Klein	\N	\N	\N	4/12/82	\N	\N	\N	\N	\N	\N	\N	\N
123	1232	customers	1090	P	Morris II	Klein	\N	\N	\N	4/12/82	\N	\N	\N	\N	\N	\N	\N	\N
124	1241	customers	1091	P	Ellie	Ohare	\N	\N	\N	8/15/67	\N	0352 6553537	ellie.ohare@fmail.com	\N	\N	\N	\N	\N
124	1241	customers	1092	P	Ellie	O'hare	\N	\N	\N	8/15/67	\N	+39 0352 6553537	ellie.ohare@fmail.com	\N	\N	\N	\N	\N
125	1251	customers	1093	P	Amanda	Anderson	\N	\N	\N	3/12/87	\N	\N	\N	\N	\N	73423499	\N	\N
125	1251	customers	1094	P	Amanda	Jones	\N	\N	\N	3/12/87	\N	\N	\N	\N	\N	73423499	\N	\N
126	1261	customers	1095	P	Juan	Aguilar	\N	\N	Male	4/12/82	\N	\N	\N	\N	\N	234234455	\N	\N
126	1261	customers	1096	P	Juann	Aguilar	\N	\N	\N	4/12/82	\N	\N	\N	\N	\N	234234455	\N	\N
127	1271	customers	1097	P	Marie	Sanchez	\N	\N	\N	\N	P.O. Box 12987 Andersonville IL 60611	\N	mickey@mmail.com	\N	\N	\N	\N	\N
127	1271	customers	1098	P	Marie	Sanchez Mendoza	\N	\N	\N	\N	PO BOX 12987 Chicago IL 60611	\N	mickey@mmail.com	\N	\N	\N	\N	\N
128	1281	customers	1099	P	Anna Maria	Aguilar	\N	\N	Female	\N	1812 Overture way Chicago IL	\N	mouse@mmail.com	\N	\N	\N	\N	\N
128	1281	customers	1100	P	Anna Marie	Aguilar	\N	\N	Unknown	\N	9881 Freedom way Chicago IL	\N	mouse@mmail.com	\N	\N	\N	\N	\N
129	1291	customers	1101	P	Mark	Miller	\N	\N	\N	\N	\N	\N	mark@marksfoods.com	\N	\N	\N	\N	\N
129	1291	customers	1102	P	Mark	Milner	\N	\N	\N	\N	\N	\N	mark@marksfoods.com	\N	\N	\N	\N	\N
130	1301	customers	1103	P	Anabella	Becker	\N	\N	U	\N	\N	\N	\N	\N	\N	823123	\N	\N
130	1301	customers	1104	P	Annabelle	Becker	\N	\N	F	\N	\N	\N	\N	\N	\N	823123	\N	\N
201	2011	customers	2011	O	\N	\N	\N	Hajah Mamunah (Jln Pisang)	\N	\N	#01-11, HillV2, 4 Hillview Rise, 667979	\N	\N	\N	\N	\N	\N	\N
203	2031	customers	2031	P	តារា	គឹម	\N	\N	\N	\N	No 321, Street 128 Phnom Penh Cambodia	\N	\N	\N	\N	\N	\N	\N
203	2031	customers	2032	P	Dara	Kim	\N	\N	\N	\N	#321, Street 128 Phnom Penh	\N	\N	\N	\N	\N	\N	\N
204	2041	customers	2042	O	\N	\N	\N	Mullenkrants	\N	\N	Hardenbergstrasse 87 66879	\N	\N	\N	\N	\N	\N	\N
206	2061	customers	2063	P	\N	\N	Alexander Pavlovich Vasiliev	\N	\N	\N	\N	481-285-6234	\N	\N	\N	\N	\N	\N
207	2071	customers	2072	O	\N	\N	\N	Univrsl Export Inc	\N	\N	100 Howard Hughs Plaza Las Vegas NV 89111	800-111-1234	\N	\N	\N	\N	\N	\N
207	2073	customers	2073	O	\N	\N	\N	Worldwide Exports	\N	\N	Chrysler Building, 405 Lexington Avenue New York NY 10174	\N	\N	\N	\N	\N	\N	\N
214	2141	customers	2142	O	\N	\N	\N	Singapore exports	\N	\N	133 New Bridge Road, Chinatown Point, Singapore 059413	\N	\N	\N	\N	\N	\N	\N
215	2151	customers	2152	O	\N	\N	\N	India Exports	\N	\N	Mullanpara Road, Old Vythiri, Vythiri, Wayanad, 673576, India	+91 4936 202565	\N	\N	\N	\N	\N	\N
217	2171	customers	2171	P	Andrew	Anderson	\N	\N	\N	\N	\N	\N	info@ca-state.gov	\N	\N	\N	\N	\N
217	2172	customers	2172	P	Andy	Anderson	\N	\N	\N	\N	\N	\N	info@ca-state.gov	\N	\N	\N	\N	\N
218	2181	customers	2181	P	Anna	Anderson	\N	\N	\N	\N	\N	702-221-2211	info@ca-state.gov	\N	\N	\N	\N	\N
218	2182	customers	2182	P	Annabelle	Anderson	\N	\N	\N	\N	\N	702-221-2211	info@ca-state.gov	\N	\N	\N	\N	\N
219	2191	customers	2191	P	Jim	Muir	\N	\N	\N	1997-11-12	12396 Austin Rd Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
219	2192	customers	2192	P	Jane	Muir	\N	\N	\N	1999-12-10	12396 Austin Rd Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
219	2192	customers	2193	P	J	Muir	\N	\N	\N	1999-12-10	12396 Austin Rd Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2201	customers	2201	P	Jorg	Swarm	\N	\N	\N	\N	127 14th Ave Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2202	customers	2202	P	Jorge	Barge	\N	\N	\N	\N	4362 Belmont Lane Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2203	customers	2203	P	Gaston	Gray	\N	\N	\N	\N	1376 BlueBell Road Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2204	customers	2204	P	Henry	Howard	\N	\N	\N	\N	538 Blanco St Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2205	customers	2205	P	Inez	Inverness	\N	\N	\N	\N	2516 BentTree Ln Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2206	customers	2206	P	Julia	Jackson	\N	\N	\N	\N	319 Cody Road Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2207	customers	2207	P	Kandace	Kellar	\N	\N	\N	\N	1824 AspenOak Way Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2208	customers	2208	P	Leslie	Leonard	\N	\N	\N	\N	4362 Belmont Lane Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2209	customers	2209	P	Millie	Miller	\N	\N	\N	\N	1376 BlueBell Road Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2210	customers	2210	P	Nelson	Nice	\N	\N	\N	\N	319 Cody Road Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2211	customers	2211	P	Otto	Otter	\N	\N	\N	\N	1824 AspenOak Way Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2212	customers	2212	P	Penny	Pemberton	\N	\N	\N	\N	1824 AspenOak Way Elmwood Park CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2207	customers	2213	P	Candace	Kellar	\N	\N	\N	\N	1824 AspenOak Way Elmwood Park CA 95865	\N	info@ca-state.gov	\N	\N	\N	\N	\N
220	2214	customers	2214	P	Sandy	Sanders	\N	\N	\N	\N	1376 BlueBell Rd Sacramento CA 95823	\N	info@ca-state.gov	\N	\N	\N	\N	\N
201	2011	reference	2012	O	\N	\N	\N	Hajah Maimunah	\N	\N	4 Hillview Rise SINGAPORE 667979	\N	\N	\N	\N	\N	201012345A	\N
201	1171	reference	2013	P	\N	\N	Wang Jie	\N	\N	1993-09-14	\N	\N	\N	\N	\N	\N	\N	\N
201	1172	reference	2014	P	\N	\N	Wang Wei	\N	\N	1997-09-14	\N	\N	\N	\N	\N	\N	\N	\N
204	2041	reference	2041	O	\N	\N	\N	Müllenkranz	\N	\N	Hardenbergstraße 87 Rheinland-Pfalz 66879	\N	\N	\N	\N	\N	\N	DE123456789
205	2051	reference	2051	P	\N	\N	Faisal Siddiqui	\N	\N	\N	Jia Musa Shahdara Sheikhupura Road Lahore	+92 42-7925774	\N	\N	\N	\N	\N	\N
206	2061	reference	2061	P	\N	\N	ВАСІЛЬЕЎ, Аляксандр Паўлавіч	\N	\N	\N	Tolmacheva Ul., bld. 8, appt. 71 Smolensk	+7(4812)85-62-34	\N	\N	\N	\N	\N	\N
207	2071	reference	2071	O	\N	\N	\N	Universal Exports, USA	\N	\N	Hughes Plaza, 100 Howard Hughes Way, Las Vegas, NV 89111	800-111-1234	\N	\N	\N	\N	\N	84-1234567
207	2073	reference	2074	O	\N	\N	\N	Universal Exports Worldwide	\N	\N	405 Lexington Avenue Manhattan NY 10174	\N	\N	\N	\N	\N	\N	13-7654321
208	2081	reference	2081	P	\N	\N	Howard Hughes	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N
209	2091	reference	2091	P	\N	\N	Margaret Charney	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N
210	2101	reference	2101	P	\N	\N	Keeley Jones	\N	\N	\N	\N	818-892-2818	kjones@universal.com	\N	\N	\N	\N	\N
210	2101	reference	2102	P	\N	\N	Jones, Kaylee	\N	\N	\N	\N	18188922818	kjones@universal.com	\N	\N	\N	\N	\N
211	2111	reference	2111	P	\N	\N	Susan Meyer	\N	\N	\N	Fieldstrasse 10, FL-2198 Triesen	\N	\N	\N	\N	\N	\N	\N
211	2111	reference	2112	P	\N	\N	Susan Meyer Thomas	\N	\N	\N	Fieldstrasse 10, FL-2198 Triesen, Lichtenstein	\N	\N	\N	\N	\N	\N	\N
212	2121	reference	2121	P	\N	\N	Kristen Salinger	\N	\N	\N	123 King street New York NY 10012	320-392-2137	\N	\N	\N	\N	\N	\N
212	2121	reference	2122	P	\N	\N	Salenger, Kristin	\N	\N	\N	8321 Duke Street Los Angeles CA 90015	(320) 392-2137	\N	\N	\N	\N	\N	\N
213	2131	reference	2131	P	\N	\N	Rosemay A Thomas	\N	\N	\N	18 Danver Place, Loughborough, Leicestershire, LE11 1UU, United Kingdom	\N	\N	\N	\N	\N	\N	\N
213	2131	reference	2132	P	Rosemary A	Thomas	\N	\N	\N	\N	18 Danver Place, Loughborough, Leicestershire, United Kingdom, LE11 1UU	\N	\N	\N	\N	\N	\N	\N
214	2141	reference	2141	O	\N	\N	\N	Universal Exports Singapore	\N	\N	Chinatown Point, 133 New Bridge Road, 059413 singapore	\N	\N	\N	\N	\N	200912346B	\N
215	2151	reference	2151	O	\N	\N	\N	Universal Exports India	\N	\N	Mullanpara Road, Vythiri, 673576, India	4936202565	\N	\N	\N	\N	\N	32AABCU9603R1ZM
216	2161	reference	2161	P	Anastassia	Alexopoulos	\N	\N	\N	\N	6781 Metaxa Forest, Suite 296 Athens GA 30009	\N	Nastassia<patak@universal.com>	\N	\N	\N	\N	\N
216	2161	reference	2162	P	\N	\N	Alexopoulos, Nastassia	\N	\N	\N	6781 Metaxa Forest Athens GA 30009	\N	patak@universal.com	\N	\N	\N	\N	\N
100	1002	watchlist	1006	P	Robert E	Smith Sr	\N	\N	\N	3/31/1954	123 Main St, Las Vegas	\N	\N	\N	\N	112233	\N	\N
100	1003	watchlist	1007	P	Patricia	Smith	\N	\N	\N	\N	1515 Adela Ln, LV, NV 89132	\N	psmith@email.com	\N	\N	\N	\N	\N
100	1004	watchlist	1008	P	Robert	Smith	\N	\N	\N	\N	\N	\N	robert.smith@email.com	\N	\N	\N	\N	\N
102	1021	watchlist	1012	P	Eddie	Kusha	\N	\N	\N	3/1/1970	1602 Brenville Pl, San Francisco, CA 94105 San Francisco CA 94105	\N	\N	\N	\N	\N	\N	\N
102	1021	watchlist	1014	P	Eddie	Knight	\N	\N	\N	3/1/70	160 Brenville Pl San Francisco CA 94105	\N	\N	\N	294-66-9999	\N	\N	\N
102	1025	watchlist	1021	P	\N	\N	\N	\N	\N	\N	1304 Poppy Hills Dr Blacklick OH 43004	\N	Kusha123@hmail.com	\N	201-77-7719	\N	\N	\N
103	1031	watchlist	1024	P	Mhd	Antoun	\N	\N	\N	1/7/80	\N	\N	\N	\N	\N	\N	\N	\N
103	1034	watchlist	1027	P	Darletta	Anderson	\N	\N	\N	1/7/80	\N	\N	\N	\N	\N	\N	\N	\N
104	1042	watchlist	1029	P	David	Dobbins Senior	\N	\N	\N	\N	Suite 900, 1450 N City Rd Arlington 23208	\N	\N	\N	\N	\N	\N	\N
107	1071	watchlist	1037	P	Maria	Sentosa	\N	\N	\N	12/11/73	638 Downey St, Salem, OR	\N	msentosa@fmail.com	\N	\N	\N	\N	\N
107	1071	watchlist	1038	P	Maria	Medina	\N	\N	\N	12/11/73	638 Downey St, Salem, OR	\N	msentosa@fmail.com	\N	\N	\N	\N	\N
108	1083	watchlist	1041	P	John	Smith	\N	\N	\N	\N	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	\N	\N	\N	\N	\N
108	1083	watchlist	1042	P	John	Smith	\N	\N	M	\N	3212 W. 32nd St Palm Harbor, FL 60527	\N	\N	\N	\N	\N	\N	\N
205	2051	watchlist	2052	P	\N	\N	فيصل صديقي	\N	\N	\N	Jia Musa Shahdara Sheikhupura Road Lahore	92-42-7925774	\N	\N	\N	\N	\N	\N
206	2061	watchlist	2062	P	\N	\N	ВАСИЛЬЕВ, Александр Павлович	\N	\N	\N	Tolmacheva Ul., bld. 8, appt. 71  Smolensk	(4812)85-62-34	\N	\N	\N	\N	\N	\N
208	2081	watchlist	2082	P	\N	\N	Hughes, Howie	\N	\N	\N	1231 Las Vegas Blvd, Penthouse Suite Las Vegas NV	\N	\N	\N	\N	\N	\N	\N
209	2091	watchlist	2092	P	\N	\N	Charney, Peggie	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N
\.

-- Normal forms, in plain SQL over the rows as they came.
CREATE FUNCTION trap_date(value text) RETURNS date LANGUAGE sql AS $$
  SELECT CASE WHEN value ~ '^\d{4}-\d\d-\d\d$' THEN value::date
    WHEN value ~ '^\d+-[A-Za-z]+-\d+$' THEN to_date(value, 'DD-Mon-YY') WHEN value ~ '^[A-Za-z]' THEN to_date(value, 'Mon DD YYYY')
    WHEN p[1]::int > 12 THEN make_date(y, p[2]::int, p[1]::int) ELSE make_date(y, p[1]::int, p[2]::int) END
  FROM (SELECT string_to_array(value, '/') AS p) AS s, LATERAL (SELECT CASE WHEN value LIKE '%/%' THEN CASE WHEN p[3]::int > 99 THEN p[3]::int WHEN p[3]::int > 25 THEN 1900 + p[3]::int ELSE 2000 + p[3]::int END END AS y) AS t $$;
CREATE FUNCTION trap_name(value text) RETURNS text LANGUAGE sql AS $$
  SELECT nullif(regexp_replace(cdp_internal.normalize('name', value, NULL, false), '\s*\m(jr|sr|senior|junior|i|ii)$', ''), '') $$;
CREATE TABLE traps AS
SELECT r.trap, r.entity, r.source, r.source || ' ' || r.record AS id, n.given, n.family, cdp.name_forms(n.given) AS forms, n.whole,
       regexp_replace(cdp_internal.normalize('name', r.company, NULL, false), '\m(inc|ltd)$', '') AS company, upper(left(nullif(nullif(r.gender, 'U'), 'Unknown'), 1)) AS gender, r.born::text AS said_born,
       to_char(trap_date(r.born), 'YYYY-MM-DD') AS born, CASE WHEN extract(day FROM trap_date(r.born)) < 13 THEN to_char(trap_date(r.born), 'YYYY-DD-MM') END AS turned,
       cdp_internal.normalize('address', regexp_replace(r.address, '\m(suite|appt\.?|unit) *\d+,? *|\m(\w+ (apar\w*ments|plaza|building)),? ', '', 'gi'), NULL, false) AS address,
       right(regexp_replace(r.phone, '\D', '', 'g'), 7) AS phone, lower(regexp_replace(r.email, '.*<|>.*', '', 'g')) AS email,
       r.passport, regexp_replace(r.ssn, '\D', '', 'g') AS ssn, r.licence, r.national_id, r.tax_id,
       CASE substring(lower(concat_ws(' ', r.given, r.family)) FROM '\m(jr|sr|senior|junior|i|ii)\M(?: \w+)?$') WHEN 'sr' THEN 'senior' WHEN 'jr' THEN 'junior'
         WHEN 'i' THEN 'first' WHEN 'ii' THEN 'second' ELSE substring(lower(concat_ws(' ', r.given, r.family)) FROM '\m(senior|junior)\M') END AS generation
FROM traps_raw AS r CROSS JOIN LATERAL (SELECT coalesce(trap_name(r.given), CASE WHEN r.full_name ~ '^[[:ascii:]]*$' THEN regexp_replace(trap_name(r.full_name), ' [^ ]*$', '') END) AS given,
  coalesce(trap_name(r.family), CASE WHEN r.full_name ~ '^[[:ascii:]]*$' THEN regexp_replace(trap_name(r.full_name), '^.* ', '') END) AS family,
  (SELECT string_agg(w, ' ' ORDER BY w) FROM regexp_split_to_table(coalesce(trap_name(concat_ws(' ', r.given, r.family)), trap_name(r.full_name)), ' ') AS w) AS whole) AS n;
ALTER TABLE traps ADD PRIMARY KEY (id);

-- 159 records teach little: the weights are set by hand, and say what they say.
CREATE FUNCTION trap_levels(col text, levels text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('output_column_name', col, 'comparison_levels', jsonb_build_array(jsonb_build_object('sql_condition', format('"%s_l" IS NULL OR "%1$s_r" IS NULL', col), 'label_for_charts', 'unknown', 'is_null_level', true))
    || (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('sql_condition', replace(l[1], '$', col), 'label_for_charts', l[1], 'm_probability', l[2]::float8, 'u_probability', l[3]::float8,
          'tf_adjustment_column', l[4])) ORDER BY n) FROM (SELECT string_to_array(btrim(line), ' | ') AS l, n FROM regexp_split_to_table(btrim(levels, E' \n'), '\n') WITH ORDINALITY AS t (line, n)) AS s)) $$;
SELECT cdp.create_matcher('traps', jsonb_build_object('unique_id_column_name', 'id', 'probability_two_random_records_match', 0.01,
  'blocking_rules_to_generate_predictions', (SELECT jsonb_agg(format('l."%s" = r."%1$s"', c)) FROM unnest('{family,given,born,address,phone,email,passport,ssn,licence,national_id,tax_id,company,whole}'::text[]) AS c)
    || '["l.born = r.turned", "left(l.address, 12) = left(r.address, 12)", "left(l.company, 5) = left(r.company, 5)"]',
  'comparisons', jsonb_build_array(
    trap_levels('generation', $l$"$_l" = "$_r" | 0.98 | 0.5
      ELSE | 0.0005 | 0.5$l$),
    trap_levels('given', $l$"$_l" = "$_r" | 0.5 | 0.03
      list_has_any("forms_l", "forms_r") | 0.3 | 0.02
      jaro_winkler_similarity("$_l", "$_r") >= 0.86 | 0.06 | 0.06
      "given_l" = "family_r" AND "family_l" = "given_r" | 0.02 | 0.001
      left("$_l", 1) = "$_r" OR left("$_r", 1) = "$_l" | 0.03 | 0.01
      jaro_winkler_similarity("$_l", "$_r") >= 0.7 | 0.03 | 0.06
      ELSE | 0.02 | 0.85$l$),
    trap_levels('family', $l$"$_l" = "$_r" | 0.75 | 0.05 | family
      jaro_winkler_similarity("$_l", "$_r") >= 0.86 | 0.15 | 0.02
      "given_l" = "family_r" AND "family_l" = "given_r" | 0.02 | 0.02
      ELSE | 0.08 | 0.93$l$),
    trap_levels('born', $l$"$_l" = "$_r" | 0.75 | 0.01
      "born_l" = "turned_r" OR "turned_l" = "born_r" | 0.12 | 0.01
      damerau_levenshtein("$_l", "$_r") <= 1 | 0.05 | 0.02
      ELSE | 0.03 | 0.96$l$),
    trap_levels('gender', $l$"$_l" = "$_r" | 0.93 | 0.5
      ELSE | 0.07 | 0.5$l$),
    trap_levels('address', $l$"$_l" = "$_r" | 0.4 | 0.03
      jaro_winkler_similarity("$_l", "$_r") >= 0.88 | 0.3 | 0.03
      jaccard("$_l", "$_r") >= 0.75 | 0.1 | 0.03
      ELSE | 0.2 | 0.91$l$),
    trap_levels('phone', $l$"$_l" = "$_r" | 0.8 | 0.01
      ELSE | 0.2 | 0.99$l$),
    trap_levels('email', $l$"$_l" = "$_r" | 0.8 | 0.02 | email
      ELSE | 0.2 | 0.98$l$),
    trap_levels('passport', $l$"$_l" = "$_r" | 0.95 | 0.0005
      ELSE | 0.05 | 0.9995$l$),
    trap_levels('ssn', $l$"$_l" = "$_r" | 0.98 | 0.0005
      ELSE | 0.005 | 0.9995$l$),
    trap_levels('licence', $l$"$_l" = "$_r" | 0.95 | 0.0005
      ELSE | 0.05 | 0.9995$l$),
    trap_levels('national_id', $l$"$_l" = "$_r" | 0.95 | 0.0005
      ELSE | 0.05 | 0.9995$l$),
    trap_levels('tax_id', $l$"$_l" = "$_r" | 0.95 | 0.0005
      ELSE | 0.05 | 0.9995$l$),
    trap_levels('company', $l$"$_l" = "$_r" | 0.6 | 0.02
      jaro_winkler_similarity("$_l", "$_r") >= 0.85 | 0.3 | 0.05
      ELSE | 0.1 | 0.93$l$))));
SELECT * FROM cdp.find_matches('traps', 'traps', merge_threshold => 0.9, review_threshold => 0.3);

-- From records to profiles.
SELECT cdp.create_identifier_type('trap', priority => 60);
SELECT accepted FROM cdp.ingest((SELECT jsonb_build_object('batch', jsonb_agg(jsonb_build_object('type', 'identify', 'messageId', 'row ' || t.id, 'traits', jsonb_strip_nulls(jsonb_build_object('name', t.whole, 'company', t.company)),
  'context', jsonb_build_object('externalIds', jsonb_build_array(jsonb_build_object('type', 'trap', 'id', t.id, 'collection', 'users')))) ORDER BY t.id)) FROM traps AS t), 'traps');
CALL cdp.link_all_matches('traps', 'trap', batch => 20);
CREATE VIEW trap_people AS SELECT t.trap, t.entity, t.id, cdp.lookup('trap', t.id) AS profile FROM traps AS t;

-- The table of traps: pairs that are one, found and missed; pairs that are not, joined.
CREATE VIEW trap_results AS
SELECT a.trap, count(*) FILTER (WHERE a.entity = b.entity) AS pairs, count(*) FILTER (WHERE a.entity = b.entity AND a.profile = b.profile) AS joined,
       count(*) FILTER (WHERE a.entity = b.entity AND a.profile <> b.profile AND m.state = 'waiting') AS in_review,
       count(*) FILTER (WHERE a.entity <> b.entity AND a.profile = b.profile) AS wrongly_joined
FROM trap_people AS a JOIN trap_people AS b ON a.trap = b.trap AND a.id < b.id LEFT JOIN cdp.matches AS m ON (m.id_l, m.id_r) = (a.id, b.id) GROUP BY a.trap;
SELECT count(*) AS traps, count(*) FILTER (WHERE joined = pairs AND wrongly_joined = 0) AS right_traps, count(*) FILTER (WHERE wrongly_joined > 0) AS wrong_traps,
       sum(pairs) AS pairs, sum(joined) AS joined, sum(in_review) AS in_review, sum(wrongly_joined) AS wrongly_joined FROM trap_results;
SELECT count(*) AS joined_across_traps FROM trap_people AS a JOIN trap_people AS b ON a.profile = b.profile AND a.id < b.id AND a.entity <> b.entity AND a.trap <> b.trap;
SELECT * FROM trap_results WHERE joined < pairs OR wrongly_joined > 0 ORDER BY trap;

-- Each pair that came out wrong, explained: what was said for and against.
SELECT a.trap, CASE WHEN a.entity <> b.entity THEN 'wrong' WHEN EXISTS (SELECT FROM cdp.matches AS m WHERE m.state = 'waiting' AND (m.id_l, m.id_r) = (a.id, b.id)) THEN 'in review' ELSE 'missed' END AS what, a.id, b.id AS other, round(w.total::numeric, 1) AS weight, w.evidence
FROM trap_people AS a JOIN trap_people AS b ON a.id < b.id AND (a.entity = b.entity) <> (a.profile = b.profile)
CROSS JOIN LATERAL (SELECT max(x.total) FILTER (WHERE x.step = x.last) AS total, string_agg(format('%s %s', x.comparison, round(x.weight::numeric, 1)), ', ' ORDER BY x.step) FILTER (WHERE abs(x.weight) > 0.1 AND x.step > 1) AS evidence
  FROM (SELECT y.*, max(y.step) OVER () AS last FROM cdp.why_match('traps', 'traps', a.id, b.id) AS y) AS x) AS w
ORDER BY a.trap, a.id, b.id;

-- And back: every person taken apart again is as many as there are records, stays so whatever is run again, and all is consistent.
CREATE TABLE trap_before AS SELECT count(DISTINCT profile) AS people FROM trap_people;
SELECT people < (SELECT count(*) FROM traps) AS some_are_one FROM trap_before;
SELECT count(*) FROM (SELECT cdp.reject_match(m.match_id, 'two after all', 'anna') FROM cdp.matches AS m WHERE m.state IN ('linked', 'accepted')) AS r;
CALL cdp.link_all_matches('traps', 'trap');
SELECT count(DISTINCT profile) AS people FROM trap_people;
SELECT count(*) AS linked_again FROM (SELECT 1 FROM cdp.find_matches('traps', 'traps', 0.9, 0.3)) AS f;
CALL cdp.link_all_matches('traps', 'trap');
SELECT count(DISTINCT profile) AS people FROM trap_people;
SELECT count(*) FROM (SELECT cdp.undo_match(m.match_id, 'one after all', 'anna') FROM cdp.matches AS m WHERE m.state = 'rejected') AS r;
CALL cdp.link_all_matches('traps', 'trap');
SELECT count(DISTINCT t.profile) = b.people AS as_before FROM trap_people AS t, trap_before AS b GROUP BY b.people;
-- One link of a person, split by hand: it stays out.
SELECT count(*) AS parts FROM (SELECT cdp.split_profile(cdp.lookup('trap', 'customers 1069'), jsonb_build_object('trap', 'customers 1070'), reason => 'two people')) AS s;
SELECT * FROM cdp.link_matches('traps', 'trap');
SELECT cdp.lookup('trap', 'customers 1069') = cdp.lookup('trap', 'customers 1070') AS one_person;
SELECT count(*) FROM cdp.verify();
DROP VIEW trap_results, trap_people;
DROP TABLE traps, traps_raw, trap_before;
DROP FUNCTION trap_date, trap_name, trap_levels;
