'use strict';
/*
 * Starts a foreign server, `node cometd.js --port 0`, and says where: the first line on stdout is
 * {"port": N, "done": [...]}. It ends with its stdin, so that no server outlives its test.
 *
 *   --port N              0 = any
 *   --agents N            bot1 … botN
 *   --no-ack, --no-csrf   without the ack extension (faye never has it), without CSRF protection
 *   --timeout-ms N        how long a poll is held
 *   --max-interval-ms N   how long a client may be silent between polls (faye: twice the timeout)
 *   --state FILE          read at the start if there is one, written on SIGTERM: IM sessions, voice
 *                         states and the log survive, HTTP sessions and Bayeux clients do not
 *   --first JSON          [[verb, arguments], …] of control.js, done before the port opens
 */

const fs = require('fs');
const { parseArgs } = require('util');
const { Facade } = require('./facade');
const { Gws } = require('./gws');

function options() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      agents: { type: 'string', default: '3' },
      'no-ack': { type: 'boolean', default: false },
      'no-csrf': { type: 'boolean', default: false },
      'timeout-ms': { type: 'string', default: '30000' },
      'max-interval-ms': { type: 'string', default: '10000' },
      state: { type: 'string' },
      first: { type: 'string', default: '[]' },
    },
  });
  return values;
}

function restore(file, facade) {
  if (!file || !fs.existsSync(file)) return;
  const { gws, log } = JSON.parse(fs.readFileSync(file, 'utf8'));
  facade.gws.restore(gws);
  facade.log = log;
}

function stop(file, facade) {
  if (file) fs.writeFileSync(file, JSON.stringify({ gws: facade.gws.snapshot(), log: facade.log }));
  process.exit(0);
}

/** `createBayeux({ack, timeoutMs, maxIntervalMs})` makes the Bayeux half. */
function main(createBayeux) {
  const given = options();
  const bayeux = createBayeux({
    ack: !given['no-ack'],
    timeoutMs: Number(given['timeout-ms']),
    maxIntervalMs: Number(given['max-interval-ms']),
  });
  const facade = new Facade(new Gws(Number(given.agents)), bayeux, { csrf: !given['no-csrf'] });
  restore(given.state, facade);
  const done = JSON.parse(given.first).map(([verb, args]) => facade.steer(verb, args));
  process.on('SIGTERM', () => stop(given.state, facade));
  process.stdin.on('end', () => process.exit(0)).resume();
  facade.listen(Number(given.port), (port) => console.log(JSON.stringify({ port, done })));
}

module.exports = { main };
