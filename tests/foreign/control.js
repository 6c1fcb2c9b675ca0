'use strict';
/*
 * What a test may say under /_control/{verb}: POST with a JSON object of arguments, answered by
 * JSON. A verb plays the party outside, breaks something, or shows what happened. `agent` may be
 * left out where it says whom a fault hits: then it hits all.
 */

const { Refusal } = require('./gws');

function live(gws, id) {
  const session = gws.session(id);
  if (session.legs.every((leg) => leg.state === 'Completed')) throw new Refusal(2, `${id} is over`);
  return session;
}

const party = {
  /** An outside number rings an agent: Alerting, then Talking; `straight`: Talking at once. */
  ring({ gws }, { agent, from, straight = false, answered = true, userData = {} }) {
    const called = gws.agent(agent);
    if (!gws.canBeRung(called)) throw new Refusal(2, `${agent} is busy or logged out`);
    const legs = [
      { number: from, state: straight ? 'Talking' : 'Initiating' },
      { user: agent, number: called.number, state: straight ? 'Talking' : 'Alerting' },
    ];
    const session = gws.open(legs, userData);
    if (!straight && answered) gws.setState(session, 'Talking');
    return { id: session.id };
  },
  answer: ({ gws }, { session }) => gws.setState(live(gws, session), 'Talking'),
  say: ({ gws }, { session, text }) => gws.say(live(gws, session), text),
  user_data: ({ gws }, { session, set = {}, unset = [] }) => {
    gws.changeUserData(live(gws, session), set, unset);
  },
  complete: ({ gws }, { session }) => gws.setState(live(gws, session), 'Completed'),
};

const faults = {
  /** The Bayeux server forgets the agent's clients; a poll in progress is answered first. */
  expire: ({ bayeux }, { agent }) => bayeux.expire(agent),
  /** The Bayeux server says goodbye to the agent's clients, by whatever means it has. */
  disconnect: ({ bayeux }, { agent }) => bayeux.disconnect(agent),
  /** JSESSIONID is worth nothing any more; Bayeux clients live on. */
  end_http: (facade, { agent }) => facade.endHttpSessions(agent),
  change_csrf: ({ httpSessions }, { agent }) => {
    for (const session of httpSessions.values()) {
      if (!agent || session.user === agent) session.token += '+';
    }
  },
  /** Everything is answered by `status`; null: nothing is answered, then the connection closes. */
  outage: (facade, { seconds, status = 503 }) => facade.startOutage(seconds, status),
  /** The next `count` Bayeux replies that carry events are cut off on their way to the client. */
  lose_polls: ({ faults: armed }, { count }) => { armed.pollReplies = count; },
  /** The next `count` operations are carried out, and their replies cut off. */
  lose_operations: ({ faults: armed }, { count }) => { armed.operationReplies = count; },
  /** An operation's events leave 20 ms before its reply. */
  events_first: ({ faults: armed }, { on = true }) => { armed.eventsFirst = on; },
  /** Subscriptions to these channels are refused from now on. */
  deny: ({ bayeux }, { channels }) => { bayeux.denied = channels; },
};

const views = {
  log: ({ log }) => ({ log }),
  /** Events cut off on their way; not those that cometd itself drops when it sees a dead socket. */
  lost: ({ lost }) => ({ lost }),
  sessions: ({ gws }) => ({ sessions: gws.sessions }),
  agents: ({ gws, bayeux, httpSessions }) => ({
    agents: gws.agents.map((agent) => ({
      ...agent,
      devicePath: `/devices/${agent.deviceId}`,
      httpSessions: [...httpSessions.values()].filter((s) => s.user === agent.user).length,
      clients: bayeux.clients(agent.user),
    })),
  }),
};

module.exports = { ...party, ...faults, ...views };
