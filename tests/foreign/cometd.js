'use strict';
/*
 * The Bayeux half by the CometD project: cometd-nodejs-server. An agent's events go to the sessions
 * whose handshake came with the agent's JSESSIONID, where they subscribed to the channel.
 */

const cometd = require('cometd-nodejs-server');
const { AcknowledgedMessagesExtension } = require('cometd-nodejs-server/ack-extension');
const { main } = require('./main');

class CometdHalf {
  constructor({ ack, timeoutMs, maxIntervalMs }) {
    this.denied = [];
    this.sessions = new Map(); // ServerSession → user
    this.server = cometd.createCometDServer({ timeout: timeoutMs, maxInterval: maxIntervalMs });
    if (ack) this.server.addExtension(new AcknowledgedMessagesExtension());
    this.server.addListener('sessionAdded', (session) => {
      this.sessions.set(session, this.server.context.request.user);
    });
    this.server.addListener('sessionRemoved', (session) => this.sessions.delete(session));
    this.server.policy = {
      canSubscribe: (session, message, channel, callback) => {
        callback(undefined, !this.denied.includes(channel.name));
      },
    };
  }

  handle(request, reply) {
    this.server.handle(request, reply);
  }

  publish(user, channel, data) {
    const { wildNames } = this.server.createServerChannel(channel);
    for (const session of this.of(user)) {
      const names = session.subscriptions.map(({ name }) => name);
      const subscribed = names.some((name) => name === channel || wildNames.includes(name));
      if (subscribed) session.deliver(null, channel, data);
    }
  }

  of(user) {
    return [...this.sessions.keys()].filter((s) => !user || this.sessions.get(s) === user);
  }

  expire(user) {
    for (const session of this.of(user)) {
      session._flush();
      this.server._removeServerSession(session, true); // what its sweeper calls; not public
    }
  }

  disconnect(user) {
    for (const session of this.of(user)) session.disconnect();
  }

  clients(user) {
    return this.of(user).map((session) => ({
      id: session.id,
      subscriptions: session.subscriptions.map(({ name }) => name),
      polling: session._scheduler !== null,
    }));
  }
}

main((options) => new CometdHalf(options));
