'use strict';
/*
 * The Bayeux half by James Coglan: faye. It only knows channels that everybody may subscribe to, so an
 * extension gives each agent a branch of its own: /v2/me/… of bot1 is /bot1/v2/me/… inside.
 */

const faye = require('faye');
const { main } = require('./main');

class FayeHalf {
  constructor({ timeoutMs }) {
    this.denied = [];
    this.owners = new Map(); // clientId → user
    this.polling = new Set(); // clientIds
    this.adapter = new faye.NodeAdapter({ mount: '/api/v2/notifications', timeout: timeoutMs / 1000 });
    this.adapter.addExtension({
      incoming: (message, request, pass) => pass(this.incoming(message, request)),
      outgoing: (message, request, pass) => pass(this.outgoing(message, request)),
    });
    this.adapter.bind('disconnect', (clientId) => this.owners.delete(clientId));
    this.adapter.bind('connection:open', (clientId) => this.polling.add(clientId));
    this.adapter.bind('connection:close', (clientId) => this.polling.delete(clientId));
    // What the adapter has no public way for: sending to a channel at once, forgetting a client.
    this.engine = this.adapter._server._engine;
  }

  incoming(message, { user }) {
    const { channel, subscription } = message;
    if (subscription) {
      const names = [].concat(subscription);
      const denied = names.filter((name) => this.denied.includes(name));
      if (denied.length > 0) message.error = `403:${denied}:Forbidden channel`;
      message.subscription = names.map((name) => `/${user}${name}`);
    } else if (channel && !channel.startsWith('/meta/')) {
      message.channel = `/${user}${channel}`;
    }
    return message;
  }

  outgoing(message, { user }) {
    const { channel, subscription, clientId } = message;
    if (channel === '/meta/handshake' && clientId) this.owners.set(clientId, user);
    if (subscription) {
      const names = [].concat(subscription).map((name) => name.slice(user.length + 1));
      message.subscription = names.length === 1 ? names[0] : names;
    } else if (channel && !channel.startsWith('/meta/')) {
      message.channel = channel.slice(user.length + 1);
    }
    return message;
  }

  handle(request, reply) {
    this.adapter.handle(request, reply);
  }

  publish(user, channel, data) {
    this.engine.publish({ channel: `/${user}${channel}`, data });
  }

  of(user) {
    return [...this.owners].filter(([, owner]) => !user || owner === user).map(([clientId]) => clientId);
  }

  expire(user) {
    for (const clientId of this.of(user)) this.engine.destroyClient(clientId);
  }

  /** faye has no goodbye of its own: a client that it drops learns so from its next connect. */
  disconnect(user) {
    this.expire(user);
  }

  clients(user) {
    return this.of(user).map((id) => ({
      id,
      subscriptions: [...this.engine._engine._clients.get(id) || []].map((name) => name.slice(user.length + 1)),
      polling: this.polling.has(id),
    }));
  }
}

main((options) => new FayeHalf(options));
