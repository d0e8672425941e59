// segments_duckdb.js FOLDER QUERIES NOW RUNS THREADS: loads ne.csv and np.csv of FOLDER into memory and asks QUERIES
// once, then RUNS times. Prints the version and the threads, the seconds of each run, and the answers, a line each.
const fs = require('fs');
const { DuckDBInstance, version } = require('@duckdb/node-api');

const [folder, queries, now, runs, threads] = process.argv.slice(2);

function statements() {
  const values = { now };
  const sql = fs.readFileSync(queries, 'utf8').split('\n').filter((line) => {
    const setting = line.match(/^\\set (\w+) (\S+)$/);
    if (setting) values[setting[1]] = setting[2];
    return !setting && !line.startsWith('--');
  }).join('\n');
  return sql.replace(/:(\w+)/g, (_, name) => values[name]).split(';').map((one) => one.trim()).filter(Boolean);
}

async function main() {
  const instance = await DuckDBInstance.create(':memory:', { threads });
  const connection = await instance.connect();
  await connection.run(`CREATE TABLE ne AS FROM read_csv('${folder}/ne.csv', header = false, columns = {ts: 'BIGINT', pid: 'INTEGER',
    cents: 'INTEGER', ev: 'SMALLINT', prod: 'SMALLINT', cat: 'SMALLINT'})`);
  await connection.run(`CREATE TABLE np AS FROM read_csv('${folder}/np.csv', header = false, columns = {pid: 'INTEGER', country: 'SMALLINT',
    tier: 'SMALLINT', consent: 'BOOLEAN'})`);
  const ten = statements();
  const ask = async () => {
    const answers = [];
    for (const one of ten) answers.push((await connection.runAndReadAll(one)).getRows()[0][0]);
    return answers;
  };
  const answers = await ask();
  console.log(`${version()}, threads: ${threads}`);
  const seconds = [];
  for (let run = 0; run < runs; run++) {
    const start = process.hrtime.bigint();
    await ask();
    seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
  console.log(seconds.join(' '));
  console.log(answers.join(' '));
}

main();
